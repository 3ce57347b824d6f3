"""Limits of relays, and who owns which descriptor when."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from cext.engine.engine import Engine, EngineError, Reason
from tests.unit.cext.engine_peers import ends_by_reset, fill, in_thread
from tests.unit.cext.engine_support import Bench, descriptors, receive, tcp_pair, threads, until


@pytest.fixture
def bench() -> Iterator[Bench]:
    gc.collect()  # an engine or a socket that a cycle keeps would be closed in the middle of the test
    before = descriptors(), threads()
    made = Bench(Engine(threads=1))
    try:
        yield made
    finally:
        made.close()
        del made.engine
        gc.collect()  # sockets of the test itself that the traceback of an expected exception keeps in a cycle
        until(lambda: (descriptors(), threads()) == before, f"descriptors and threads to be {before} again")


class TestLimits:
    def test_idle_timeout_counts_from_the_last_byte(self, bench: Bench) -> None:
        number, client, server = bench.relay(idle_timeout_ms=300)
        for _ in range(10):
            client.sendall(b"x")
            assert server.recv(1) == b"x"
            time.sleep(0.1)
        assert bench.engine.live()
        begin = time.monotonic()
        ended = bench.completion(number)
        assert ended.reason is Reason.IDLE_TIMEOUT
        assert time.monotonic() - begin > 0.1
        ends_by_reset(client)
        ends_by_reset(server)

    def test_idle_timeout_ends_a_stalled_relay(self, bench: Bench) -> None:
        number, client, _ = bench.relay(idle_timeout_ms=1500, small=True)
        fill(client)
        assert bench.completion(number).reason is Reason.IDLE_TIMEOUT

    def test_lifetime_ends_a_busy_relay(self, bench: Bench) -> None:
        number, client, server = bench.relay(lifetime_ms=400, idle_timeout_ms=10_000)
        begin = time.monotonic()
        while bench.engine.live():
            assert time.monotonic() < begin + 10
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                client.sendall(b"x")
                server.recv(1)
            time.sleep(0.01)
        assert bench.completion(number).reason is Reason.LIFETIME
        assert time.monotonic() - begin >= 0.4

    def test_abort_resets_both_sides(self, bench: Bench) -> None:
        number, client, server = bench.relay()
        bench.engine.abort(number)
        assert bench.completion(number).reason is Reason.ABORTED
        ends_by_reset(client)
        ends_by_reset(server)
        bench.engine.abort(number)
        bench.engine.abort(123_456)

    def test_live_shows_what_goes_on(self, bench: Bench) -> None:
        number, client, server = bench.relay()
        client.sendall(b"12345")
        assert receive(server, 5) == b"12345"
        server.sendall(b"123")
        assert receive(client, 3) == b"123"
        time.sleep(0.2)
        (row,) = bench.engine.live()
        assert (row.id, row.bytes_sent, row.bytes_received) == (number, 5, 3)
        assert 150 <= row.idle_ms <= 5000
        assert row.age_ms >= row.idle_ms

    def test_a_busy_stream_does_not_starve_another(self, bench: Bench) -> None:
        _, bulk_client, bulk_server = bench.relay()
        stop = threading.Event()

        def pour() -> None:
            while not stop.is_set():
                bulk_client.sendall(b"x" * 1_000_000)
            bulk_client.shutdown(socket.SHUT_WR)

        def drain() -> None:
            while bulk_server.recv(1 << 20):
                pass

        busy = [in_thread(pour), in_thread(drain)]
        try:
            _, client, server = bench.relay()
            begin = time.monotonic()
            for _ in range(100):
                client.sendall(b"ping")
                assert receive(server, 4) == b"ping"
                server.sendall(b"pong")
                assert receive(client, 4) == b"pong"
            assert time.monotonic() - begin < 5
        finally:
            stop.set()
            for thread in busy:
                thread.join()


class TestOwnership:
    def test_at_capacity_the_caller_keeps_the_sockets(self) -> None:
        engine = Engine(capacity=1)
        one, two = tcp_pair(), tcp_pair()
        engine.relay(1, one[0].fileno(), two[0].fileno())
        one[0].detach(), two[0].detach()
        three, four = tcp_pair(), tcp_pair()
        with pytest.raises(EngineError) as caught:
            engine.relay(2, three[0].fileno(), four[0].fileno())
        assert caught.value.errno == errno.ENOBUFS
        three[0].sendall(b"mine still")
        assert three[1].recv(100) == b"mine still"
        one[1].close()
        two[1].close()
        until(lambda: len(engine.completions()) == 1, "the first relay's completion")
        engine.relay(2, three[0].detach(), four[0].detach())
        engine.close()
        assert [one.reason for one in engine.completions()] == [Reason.ABORTED]
        for sock in (three[1], four[1]):
            sock.close()

    def test_refusals(self, bench: Bench) -> None:
        number, client, _ = bench.relay()
        left, right = tcp_pair()
        for arguments, wanted in [
            ((number, left.fileno(), right.fileno()), errno.EEXIST),
            ((500, left.fileno(), left.fileno()), errno.EINVAL),
            ((500, left.fileno(), 9999), errno.EBADF),
            ((500, -1, left.fileno()), errno.EBADF),
        ]:
            with pytest.raises(EngineError) as caught:
                bench.engine.relay(*arguments)
            assert caught.value.errno == wanted
            assert str(arguments[0]) in str(caught.value)
        left.close()
        right.close()
        assert len(bench.engine.live()) == 1
        for bad in ({"threads": 0}, {"threads": 65}, {"capacity": 0}, {"capacity": (1 << 24) + 1}):
            with pytest.raises(ValueError, match="out of range"):
                Engine(**bad)
        client.close()

    def test_what_epoll_refuses_ends_as_an_internal_error(self, bench: Bench, tmp_path: object) -> None:
        file = os.open(f"{tmp_path}/file", os.O_RDWR | os.O_CREAT)
        left, right = tcp_pair()
        bench.engine.relay(9, left.detach(), file)
        ended = bench.completion(9)
        assert (ended.reason, ended.error) == (Reason.INTERNAL_ERROR, errno.EPERM)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(file)
        ends_by_reset(right)
        right.close()

    def test_close_resets_and_reports_the_rest(self) -> None:
        before = descriptors(), threads()
        bench = Bench(Engine(threads=3))
        pairs = [bench.relay() for _ in range(30)]
        bench.engine.close()
        bench.engine.close()
        assert {one.id for one in bench.engine.completions(10)} | {one.id for one in bench.engine.completions()} == {
            number for number, _, _ in pairs
        }
        assert bench.engine.completions() == []
        assert bench.engine.live() == []
        assert bench.engine.totals().completed == 30
        for _, client, server in pairs:
            ends_by_reset(client)
            ends_by_reset(server)
        with pytest.raises(EngineError, match="closed"):
            bench.engine.relay(1, 0, 1)
        bench.close()
        until(lambda: (descriptors(), threads()) == before, f"descriptors and threads to be {before} again")

    def test_completions_beyond_the_limit_keep_the_descriptor_readable(self, bench: Bench) -> None:
        import select

        numbers = [bench.relay()[0] for _ in range(10)]
        for number in numbers:
            bench.engine.abort(number)
        until(lambda: bench.engine.totals().completed == 10, "all to end")
        seen = []
        for _ in range(5):
            assert select.select([bench.engine.completion_fd], [], [], 5)[0]
            batch = bench.engine.completions(2)
            assert len(batch) == 2
            seen += [one.id for one in batch]
        assert sorted(seen) == numbers
        assert bench.engine.completions() == []

    def test_workers_block_every_signal_and_sockets_are_tuned(self, bench: Bench) -> None:
        client, downstream = tcp_pair()
        upstream, server = tcp_pair()
        watch = downstream.dup(), upstream.dup()
        bench.engine.relay(5, downstream.detach(), upstream.detach(), keepalive_s=60)
        client.sendall(b"x")
        assert server.recv(1) == b"x"
        for sock in watch:
            assert not sock.getblocking() or os.get_blocking(sock.fileno()) is False
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
            sock.close()
        masks = []
        for task in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{task}/status", encoding="ascii") as status:
                fields = dict(line.split(":", 1) for line in status)
            if fields["Name"].strip().startswith("tidegate"):
                masks.append(int(fields["SigBlk"], 16))
        assert len(masks) == 1
        # All but what can't be blocked: KILL (9), STOP (19), and the two of the C library (32, 33).
        assert masks[0] | 1 << 8 | 1 << 18 | 1 << 31 | 1 << 32 == (1 << 64) - 1
        client.close()
        server.close()
        bench.completion(5)

    def test_a_duplicate_elsewhere_outlives_its_relay_harmlessly(self, bench: Bench) -> None:
        """After close the epoll entry of a duplicated socket lives on and goes on giving events."""
        client, downstream = tcp_pair()
        upstream, server = tcp_pair()
        duplicate = downstream.dup()
        bench.engine.relay(1, downstream.detach(), upstream.detach())
        bench.engine.abort(1)
        bench.completion(1)
        for _ in range(100):
            client.send(b"events for nobody")
        number, other_client, other_server = bench.relay()
        other_client.sendall(b"fine")
        assert receive(other_server, 4) == b"fine"
        for sock in (duplicate, client, server):
            sock.close()
        bench.engine.abort(number)
