"""One relay at a time: what each peer does must be what the other one sees."""

from __future__ import annotations

import errno
import resource
import socket
import time
from collections.abc import Iterator

import pytest

from cext.engine.engine import Engine, Reason
from tests.unit.cext.engine_peers import ends_by_reset, fill, in_thread
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
