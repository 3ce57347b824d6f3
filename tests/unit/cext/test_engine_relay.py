"""One relay at a time: what each peer does must be what the other one sees."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from cext.engine.engine import Engine, EngineError, Reason
from tests.unit.cext.engine_support import Bench, descriptors, noise, receive, reset, tcp_pair, threads, until


@pytest.fixture
def bench() -> Iterator[Bench]:
    before = descriptors(), threads()
    made = Bench(Engine(threads=1))
    try:
        yield made
    finally:
        made.close()
        del made.engine
        until(lambda: (descriptors(), threads()) == before, f"descriptors and threads to be {before} again")


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def fill(sock: socket.socket) -> int:
    """Write until nothing more is taken for a while; how much was."""
    sock.setblocking(False)
    sent, quiet = 0, 0
    while quiet < 20:
        try:
            sent += sock.send(noise(sent, 65_536))
            quiet = 0
        except BlockingIOError:
            quiet += 1
            time.sleep(0.01)
    sock.settimeout(10)
    return sent


def ends_by_reset(sock: socket.socket) -> bytes:
    """What still comes, provided that a reset and not a clean end comes after it."""
    got = b""
    try:
        while part := sock.recv(1 << 16):
            got += part
    except ConnectionResetError:
        return got
    pytest.fail(f"a clean end after {len(got)} bytes where a reset was due")


class TestCleanEnds:
    def test_each_direction_ends_by_itself_client_first(self, bench: Bench) -> None:
        number, client, server = bench.relay()
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert receive(server, 100) == b"question"
        server.sendall(b"answer")
        assert client.recv(100) == b"answer"
        time.sleep(0.1)
        server.sendall(b", later")
        server.close()
        assert receive(client, 100) == b", later"
        ended = bench.completion(number)
        assert ended[1:5] == (8, 13, Reason.FINISHED, 0)
        assert ended.duration_us >= 100_000

    def test_each_direction_ends_by_itself_server_first(self, bench: Bench) -> None:
        number, client, server = bench.relay()
        server.sendall(b"220 hello\r\n")
        server.shutdown(socket.SHUT_WR)
        assert receive(client, 100) == b"220 hello\r\n"
        for chunk in range(20):
            client.sendall(noise(chunk * 1000, 1000))
        client.close()
        assert receive(server, 1 << 20) == noise(0, 20_000)
        assert bench.completion(number)[1:5] == (20_000, 11, Reason.FINISHED, 0)

    def test_early_bytes_come_first_and_count(self, bench: Bench) -> None:
        early_up, early_down = noise(0, 300_000), noise(7, 100_001)
        number, client, server = bench.relay(early_downstream=early_up, early_upstream=early_down, small=True)
        client.sendall(b"more")
        client.shutdown(socket.SHUT_WR)
        server.sendall(b"end")
        server.shutdown(socket.SHUT_WR)
        assert receive(server, 1 << 20) == early_up + b"more"
        assert receive(client, 1 << 20) == early_down + b"end"
        assert bench.completion(number)[1:4] == (300_004, 100_004, Reason.FINISHED)

    def test_sockets_that_have_ended_before_the_hand_over(self, bench: Bench) -> None:
        client, downstream = tcp_pair()
        upstream, server = tcp_pair()
        client.sendall(b"all I had to say")
        client.close()
        server.close()
        bench.engine.relay(77, downstream.detach(), upstream.detach())
        # The server is gone altogether, so writing to it may or may not still be met by its RST.
        assert bench.completion(77).reason in {Reason.FINISHED, Reason.UPSTREAM_RESET}

    @pytest.mark.parametrize("small", [False, True])
    def test_bulk_both_ways_is_exact_and_spliced(self, bench: Bench, small: bool) -> None:
        length = 3_000_000 if small else 40_000_000
        number, client, server = bench.relay(small=small)

        def send(sock: socket.socket, seed: int) -> None:
            for offset in range(0, length, 500_000):
                sock.sendall(noise(seed + offset, 500_000))
            sock.shutdown(socket.SHUT_WR)

        writers = [in_thread(lambda: send(client, 1)), in_thread(lambda: send(server, 2))]
        results: dict[str, bytes] = {}
        reader = in_thread(lambda: results.update(down=receive(client, length + 1)))
        results["up"] = receive(server, length + 1)
        for thread in [*writers, reader]:
            thread.join()
        for seed, key in ((1, "up"), (2, "down")):
            assert len(results[key]) == length
            for offset in range(0, length, 500_000):
                assert results[key][offset : offset + 500_000] == noise(seed + offset, 500_000)
        assert bench.completion(number)[1:4] == (length, length, Reason.FINISHED)
        totals = bench.engine.totals()
        assert (totals.bytes_sent, totals.bytes_received, totals.active) == (length, length, 0)
        if not small:
            assert totals.spliced_bytes > length

    def test_without_pipes_it_copies(self, bench: Bench) -> None:
        """EMFILE of pipe2 must not end or stall anything."""
        number, client, server = bench.relay()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        writer_length = 20_000_000
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))

        def send() -> None:
            client.sendall(noise(0, writer_length))
            client.shutdown(socket.SHUT_WR)

        try:
            sender = in_thread(send)
            got = receive(server, writer_length + 1)
            sender.join()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert got == noise(0, writer_length)
        assert bench.engine.totals().spliced_bytes == 0
        server.close()
        assert bench.completion(number)[1:4] == (writer_length, 0, Reason.FINISHED)

    @pytest.mark.parametrize("before", [10, 5_000_000])
    def test_urgent_bytes_stay_in_their_place(self, bench: Bench, before: int) -> None:
        """Copied and spliced; a splice alone would stop at the mark for ever, or take it for the end."""
        number, client, server = bench.relay()
        sender = in_thread(lambda: client.sendall(noise(0, before)))
        got = receive(server, before)
        sender.join()
        client.send(b"!", socket.MSG_OOB)
        client.sendall(b"after")
        client.shutdown(socket.SHUT_WR)
        got += receive(server, 100)
        assert got == noise(0, before) + b"!after"
        server.close()
        assert bench.completion(number).reason is Reason.FINISHED


class TestResets:
    @pytest.mark.parametrize("failing", ["client", "server"])
    def test_a_reset_is_passed_on_after_what_came_before_it(self, bench: Bench, failing: str) -> None:
        number, client, server = bench.relay()
        breaks, sees = (client, server) if failing == "client" else (server, client)
        breaks.sendall(noise(0, 40_000))
        until(lambda: sum(row.bytes_sent + row.bytes_received for row in bench.engine.live()) == 40_000, "the bytes")
        reset(breaks)
        assert ends_by_reset(sees) == noise(0, 40_000)
        ended = bench.completion(number)
        assert ended.reason is (Reason.DOWNSTREAM_RESET if failing == "client" else Reason.UPSTREAM_RESET)
        assert ended.error == errno.ECONNRESET

    def test_an_answer_followed_by_a_reset_arrives_whole(self, bench: Bench) -> None:
        """A server that closes without having read everything answers and resets, as HTTP servers do."""
        number, client, server = bench.relay()
        client.sendall(noise(0, 100_000))
        assert receive(server, 1) == noise(0, 1)
        server.sendall(b"HTTP/1.1 413 Payload Too Large\r\n\r\n")
        server.close()
        assert ends_by_reset(client) == b"HTTP/1.1 413 Payload Too Large\r\n\r\n"
        assert bench.completion(number).reason is Reason.UPSTREAM_RESET

    @pytest.mark.parametrize("failing", ["client", "server"])
    def test_a_reset_while_the_other_side_does_not_read(self, bench: Bench, failing: str) -> None:
        """The bytes for the survivor are stuck and the failed side isn't read: the reset must get through."""
        number, client, server = bench.relay(small=True)
        breaks, stalls = (client, server) if failing == "client" else (server, client)
        fill(breaks)
        reset(breaks)
        ended = bench.completion(number)
        assert ended.reason is (Reason.DOWNSTREAM_RESET if failing == "client" else Reason.UPSTREAM_RESET)
        ends_by_reset(stalls)

    @pytest.mark.parametrize("failing", ["client", "server"])
    def test_a_reset_by_the_side_that_does_not_read(self, bench: Bench, failing: str) -> None:
        number, client, server = bench.relay(small=True)
        breaks, writes = (client, server) if failing == "client" else (server, client)
        fill(writes)
        reset(breaks)
        ends_by_reset(writes)
        assert bench.completion(number).reason is (
            Reason.DOWNSTREAM_RESET if failing == "client" else Reason.UPSTREAM_RESET
        )

    def test_a_reset_after_a_clean_half(self, bench: Bench) -> None:
        """FIN from the client was passed on; its RST afterwards is no clean end of the other direction."""
        number, client, server = bench.relay()
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert receive(server, 100) == b"question"
        reset(client)
        assert bench.completion(number).reason is Reason.DOWNSTREAM_RESET
        # Read side: EOF was there already. Write side: must not look alive.
        assert not server.recv(1) or pytest.fail("bytes from nowhere")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            server.sendall(b"anyone?")

    def test_a_slow_reader_gets_what_the_failed_side_had_sent(self, bench: Bench) -> None:
        """Longer than the grace period in all, but with progress."""
        _, client, server = bench.relay(small=True)
        sent = fill(server)
        relayed = bench.engine.live()[0].bytes_received
        reset(server)
        got = 0
        began = time.monotonic()
        try:
            while part := client.recv(512):
                assert part == noise(got, len(part))
                got += len(part)
                if got < relayed:
                    # By the clock: a reader that was kept waiting catches up. The kernel tells of progress only when
                    # half a window is free, so a late reader would seem to have stopped.
                    time.sleep(max(0.0, began + 0.02 * got / 512 - time.monotonic()))
            pytest.fail("a clean end")
        except ConnectionResetError:
            assert relayed <= got <= sent


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
