"""Any sequence of writes, reads, half-closes, resets and stalls: bytes out equal bytes in, in order, as counted."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from cext.engine.engine import Engine, Reason
from tests.unit.cext.engine_support import Bench, descriptors, noise, reset, tcp_pair, threads, unix_pair, until

CLIENT, SERVER = 0, 1
ENDS = st.sampled_from([CLIENT, SERVER])
SIZES = st.one_of(st.integers(1, 2000), st.sampled_from([65_536, 65_537, 300_000]))


@dataclass
class End:
    """One peer of the relay, and what the model knows of it."""

    sock: socket.socket
    sent: int = 0
    got: int = 0
    finished: bool = False  # has sent FIN
    saw_end: bool = False
    is_reset: bool = False
    saw_reset: bool = False


@dataclass
class Subject:
    number: int
    kind: str
    ends: tuple[End, End]
    early: tuple[int, int] = (0, 0)
    broken_by: set[int] = field(default_factory=set)


class RelayMachine(RuleBasedStateMachine):
    """Reads check each byte against the writer's stream: a prefix always, the whole of it before a clean end."""

    def __init__(self) -> None:
        super().__init__()
        self.before = descriptors(), threads()
        self.bench = Bench(Engine(threads=2))
        self.subjects: list[Subject] = []
        self.delivered = [0, 0]

    @initialize(kind=st.sampled_from(["tcp", "unix"]), small=st.booleans(), early=st.tuples(SIZES, SIZES))
    def first(self, kind: str, small: bool, early: tuple[int, int]) -> None:
        self.add(kind, small, early)

    @precondition(lambda self: len(self.subjects) < 4)
    @rule(kind=st.sampled_from(["tcp", "unix"]), small=st.booleans(), early=st.tuples(SIZES, SIZES))
    def add(self, kind: str, small: bool, early: tuple[int, int]) -> None:
        number, client, server = self.bench.relay(
            small=small,
            pair=tcp_pair if kind == "tcp" else unix_pair,
            early_downstream=noise(0, early[0]),
            early_upstream=noise(0, early[1]),
        )
        for sock in (client, server):
            sock.setblocking(False)
        self.subjects.append(Subject(number, kind, (End(client, sent=early[0]), End(server, sent=early[1])), early))

    def pick(self, which: int) -> Subject:
        return self.subjects[which % len(self.subjects)]

    @rule(which=st.integers(0, 3), end=ENDS, size=SIZES)
    def write(self, which: int, end: int, size: int) -> None:
        self.put(self.pick(which).ends[end], size)

    @rule(which=st.integers(0, 3), end=ENDS, size=SIZES)
    def read(self, which: int, end: int, size: int) -> None:
        subject = self.pick(which)
        self.take(subject, end, size)

    @rule(which=st.integers(0, 3), end=ENDS, length=st.sampled_from([100_000, 1_500_000]))
    def stream(self, which: int, end: int, length: int) -> None:
        """Enough in one piece for the direction to become bulky, when both peers are alive."""
        subject = self.pick(which)
        goal = subject.ends[end].sent + length
        for _ in range(200):
            if subject.ends[end].sent < goal:
                self.put(subject.ends[end], min(65_536, goal - subject.ends[end].sent))
            self.take(subject, 1 - end, 1 << 20)

    @rule(which=st.integers(0, 3), end=ENDS)
    def half_close(self, which: int, end: int) -> None:
        peer = self.pick(which).ends[end]
        if not peer.is_reset and not peer.saw_reset:
            try:
                peer.sock.shutdown(socket.SHUT_WR)
            except OSError:
                peer.saw_reset = True
            peer.finished = True

    @rule(which=st.integers(0, 3), end=ENDS)
    def break_off(self, which: int, end: int) -> None:
        subject = self.pick(which)
        peer = subject.ends[end]
        if subject.kind == "tcp" and not peer.is_reset and not peer.saw_reset:
            peer.is_reset = True
            subject.broken_by.add(end)
            reset(peer.sock)

    @rule()
    def let_it_work(self) -> None:
        time.sleep(0.005)

    def put(self, peer: End, size: int) -> None:
        if peer.finished or peer.is_reset:
            return
        try:
            peer.sent += peer.sock.send(noise(peer.sent, size))
        except BlockingIOError:
            pass
        except (ConnectionResetError, BrokenPipeError):
            peer.saw_reset = True

    def take(self, subject: Subject, end: int, size: int) -> None:
        peer, writer = subject.ends[end], subject.ends[1 - end]
        if peer.is_reset or peer.saw_end:
            return
        try:
            part = peer.sock.recv(size)
        except BlockingIOError:
            return
        except (ConnectionResetError, BrokenPipeError):
            assert subject.broken_by, "a reset that nobody sent"
            peer.saw_reset = peer.saw_end = True
            return
        assert part == noise(peer.got, len(part))
        peer.got += len(part)
        assert peer.got <= writer.sent
        if not part:
            peer.saw_end = True
            # After its one report of a reset Linux shows EOF; else an end is the writer's FIN, after all it wrote.
            if not peer.saw_reset:
                assert writer.finished, "an end that nobody sent"
                assert peer.got == writer.sent

    def teardown(self) -> None:
        try:
            for subject in self.subjects:
                self.finish(subject)
            totals = self.bench.engine.totals()
            assert [totals.bytes_sent, totals.bytes_received] == self.delivered
            assert (totals.active, totals.completed) == (0, len(self.subjects))
        finally:
            self.bench.close()
        until(lambda: (descriptors(), threads()) == self.before, f"descriptors and threads to be {self.before} again")

    def finish(self, subject: Subject) -> None:
        client, server = subject.ends
        for peer in subject.ends:
            if not peer.is_reset and not peer.finished:
                try:
                    peer.sock.shutdown(socket.SHUT_WR)
                except OSError:
                    peer.saw_reset = True
                peer.finished = True
        for end in (CLIENT, SERVER):

            def over(end: int = end) -> bool:
                for other in (CLIENT, SERVER):
                    self.take(subject, other, 1 << 20)
                return subject.ends[end].saw_end or subject.ends[end].is_reset

            until(over, f"the end of relay {subject.number}, {subject}")
        ended = self.bench.completion(subject.number)
        self.delivered[0] += ended.bytes_sent
        self.delivered[1] += ended.bytes_received
        if subject.broken_by:
            blamed = {Reason.DOWNSTREAM_RESET: CLIENT, Reason.UPSTREAM_RESET: SERVER}
            # A reset that met a relay whose two directions had ended already comes too late to be seen.
            assert ended.reason is Reason.FINISHED or blamed[ended.reason] in subject.broken_by
            assert server.got <= ended.bytes_sent <= client.sent
            assert client.got <= ended.bytes_received <= server.sent
        else:
            assert ended.reason is Reason.FINISHED
            assert (server.got, client.got) == (client.sent, server.sent) == (ended.bytes_sent, ended.bytes_received)


THOROUGH = os.environ.get("TIDEGATE_THOROUGH") == "1"
RelayMachine.TestCase.settings = settings(
    max_examples=400 if THOROUGH else 60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestRelayMachine = RelayMachine.TestCase
