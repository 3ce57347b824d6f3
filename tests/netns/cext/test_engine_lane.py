"""The splice lane on the real kernel: REDIRECT in a network namespace of the test's own, real servers on its loopback.

Connections of the test go to addresses of 10.9.9.0/24 and fd09::/64 on loopback; ports 7000-7999 are redirected to the
engine's listener unless they carry its mark. There is no route out of the namespace.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import select
import socket
import struct
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from cext.engine.acceptor import Acceptor
from cext.engine.engine import Engine, EngineError
from cext.engine.values import (
    ANYTHING,
    Action,
    Balance,
    Counters,
    Ending,
    Endpoint,
    Original,
    Punt,
    Record,
    SocketAddress,
    Verdict,
)

pytestmark = pytest.mark.kernel

PATIENCE_S = 15.0
MARK = 77
OUTBOUND = 1
SERVICE = SocketAddress("10.9.9.1", 7000)
OTHER = SocketAddress("10.9.9.2", 7001)
CLONE_NEWNET = 0x40000000
RULES = """
table inet lane {
    chain output {
        type nat hook output priority -100
        meta mark %d return
        tcp dport 7000-7999 redirect to :%d
    }
    chain drops {
        type filter hook output priority filter
        tcp dport 9999 drop
    }
}
"""


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for: {what}"
        time.sleep(0.005)


class Server:
    """Says its name on connect, then echoes until EOF."""

    def __init__(self, name: str, host: str = "127.0.0.1", port: int = 0, backlog: int = 1000) -> None:
        self.name = name
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, port), family=family, backlog=backlog)
        self.place = SocketAddress(host, self.listener.getsockname()[1])
        self.accepted = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError as error:
                if error.errno != errno.EMFILE:
                    return
                time.sleep(0.01)  # a test has taken away the descriptors of the whole process for a while
                continue
            self.accepted += 1
            threading.Thread(target=self._talk, args=(sock,), daemon=True).start()

    def _talk(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):
            sock.sendall(self.name.encode() + b"\n")
            while part := sock.recv(1 << 16):
                sock.sendall(part)

    def close(self) -> None:
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class World:
    """A namespace with an engine that listens where REDIRECT leads."""

    def __init__(self, stack: ExitStack, *, threads: int = 1, capacity: int = 4096, mark: int = MARK) -> None:
        self.stack = stack
        self.engine = Engine(threads=threads, capacity=capacity)
        stack.callback(self.engine.close)
        self.lane = Acceptor(self.engine)
        listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=4096)
        self.port: int = listener.getsockname()[1]
        self.number = self.lane.listen(listener.detach(), scope=OUTBOUND, mark=mark)
        subprocess.run(["nft", "-f", "-"], input=RULES % (MARK, self.port), text=True, check=True)
        self.seen: list[Record] = []

    def server(self, name: str, host: str = "127.0.0.1", port: int = 0) -> Server:
        server = Server(name, host, port)
        self.stack.callback(server.close)
        return server

    def connect(self, place: SocketAddress = SERVICE) -> socket.socket:
        sock = socket.create_connection((place.ip, place.port), timeout=PATIENCE_S)
        self.stack.callback(sock.close)
        return sock

    def is_refused(self, place: SocketAddress = SERVICE) -> None:
        """A connection to the place is reset: over loopback perhaps before connect() has returned."""
        with suppress(ConnectionResetError):
            ends_by_reset(self.connect(place))

    def greeting(self, place: SocketAddress = SERVICE) -> str:
        """The name of the server behind the place; a whole connection with half-close and echo."""
        with socket.create_connection((place.ip, place.port), timeout=PATIENCE_S) as sock:
            sock.sendall(b"echo this")
            sock.shutdown(socket.SHUT_WR)
            got = b""
            while part := sock.recv(1000):
                got += part
        name, _, echoed = got.partition(b"\n")
        assert echoed == b"echo this"
        return name.decode()

    def decide(self, verdict: Verdict, place: SocketAddress | None = SERVICE) -> None:
        self.lane.set_verdict(OUTBOUND, place, verdict)

    def records(self, count: int) -> list[Record]:
        """All records so far, at least `count`, waiting on the descriptor as the proxy does."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self.seen) < count:
            left = deadline - time.monotonic()
            assert left > 0, f"{len(self.seen)} of {count} records; live: {self.lane.connections()}"
            select.select([self.engine.record_fd], [], [], left)
            self.seen += self.lane.records()
        return self.seen

    def punt(self) -> Punt:
        punts: list[Punt] = []

        def came() -> bool:
            punts.extend(self.lane.punts())
            return bool(punts)

        until(came, "a punt")
        (one,) = punts
        return one

    def counters(self, group: int) -> Counters:
        return next(one for one in self.lane.counters() if one.group == group)


@contextmanager
def own_namespace() -> Iterator[None]:
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        assert libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            for command in (
                "link set lo up",
                "addr add 10.9.9.1/32 dev lo",
                "addr add 10.9.9.2/32 dev lo",
                "addr add fd09::1/128 dev lo nodad",
            ):
                subprocess.run(["ip", *command.split()], check=True)
            yield
        finally:
            assert libc.setns(before, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    finally:
        os.close(before)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with own_namespace(), ExitStack() as made:
        yield made


@pytest.fixture
def world(stack: ExitStack) -> World:
    return World(stack)


def relay_to(*servers: Server, id: int = 1, **more: object) -> Verdict:
    endpoints = tuple(Endpoint(one.place, group=100 + index) for index, one in enumerate(servers))
    return Verdict(Action.RELAY, id=id, group=7, endpoints=endpoints, **more)  # type: ignore[arg-type]


def closed_port() -> SocketAddress:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        return SocketAddress("127.0.0.1", nobody.getsockname()[1])


def ends_by_reset(sock: socket.socket) -> bytes:
    got = b""
    try:
        while part := sock.recv(1000):
            got += part
    except ConnectionResetError:
        return got
    pytest.fail(f"a clean end after {got!r} where a reset was due")


class TestDecided:
    def test_relays_to_an_endpoint_and_records_it(self, world: World) -> None:
        server = world.server("alpha")
        world.decide(relay_to(server, id=42))
        assert world.greeting() == "alpha"
        (record,) = world.records(1)
        assert record.ending is Ending.FINISHED
        assert (record.scope, record.verdict, record.group, record.attempts) == (OUTBOUND, 42, 100, 1)
        assert (record.original, record.upstream) == (SERVICE, server.place)
        assert record.peer.ip == "10.9.9.1"
        assert (record.bytes_sent, record.bytes_received) == (9, 15)
        assert record.connect_us is not None
        assert 0 < record.connect_us <= record.duration_us
        assert world.counters(100) == Counters(100, 1, 1, 0, (1, 0, 0, 0, 0, 0, 0), 0, 0, 9, 15, 0)
        assert world.counters(7).admitted == 0

    def test_counters_and_the_list_are_live(self, world: World) -> None:
        server = world.server("alpha")
        world.decide(relay_to(server))
        sock = world.connect()
        assert sock.recv(100) == b"alpha\n"
        sock.sendall(b"12345")
        assert sock.recv(100) == b"12345"
        # Bytes are counted once they are written, and the client may be faster than that.
        until(lambda: world.lane.connections()[0].bytes_received == 11, "the answer's bytes are counted")
        (live,) = world.lane.connections()
        assert (live.original, live.upstream, live.ending) == (SERVICE, server.place, None)
        assert live.bytes_sent == 5
        assert world.counters(100) == Counters(100, 1, 0, 0, (0,) * 7, 0, 0, 5, 11, 0)
        assert world.counters(7).admitted == 1
        assert world.engine.live() == []
        world.engine.abort(live.id)
        ends_by_reset(sock)
        assert world.records(1)[0].ending is Ending.ABORTED

    def test_ipv6(self, world: World) -> None:
        server = world.server("six", "::1")
        place = SocketAddress("fd09::1", 7000)
        world.decide(relay_to(server), place)
        assert world.greeting(place) == "six"
        (record,) = world.records(1)
        assert (record.original, record.upstream, record.peer.ip) == (place, server.place, "fd09::1")

    @pytest.mark.parametrize("balance", list(Balance))
    def test_balances_by_weight(self, world: World, balance: Balance) -> None:
        servers = [world.server(name) for name in ("three", "one", "none")]
        endpoints = tuple(
            Endpoint(one.place, group=1, weight=weight) for one, weight in zip(servers, (3, 1, 0), strict=True)
        )
        world.decide(Verdict(Action.RELAY, endpoints=endpoints, balance=balance))
        got = Counter(world.greeting() for _ in range(200))
        if balance is Balance.ROUND_ROBIN:
            assert got == {"three": 150, "one": 50}
        else:
            assert set(got) == {"three", "one"}
            assert 20 < got["one"] < 90  # p below 1e-6 on either side

    def test_passes_to_the_original_destination(self, world: World) -> None:
        world.server("itself", "10.9.9.2", OTHER.port)
        world.decide(Verdict(Action.PASS, group=5), ANYTHING)
        assert world.greeting(OTHER) == "itself"
        (record,) = world.records(1)
        assert (record.upstream, record.original, record.group) == (OTHER, OTHER, 5)
        assert world.counters(5).opened == 1

    def test_the_most_exact_verdict_wins(self, world: World) -> None:
        exact, port, rest = world.server("exact"), world.server("port"), world.server("rest")
        world.decide(relay_to(rest), ANYTHING)
        world.decide(relay_to(port), SocketAddress("0.0.0.0", 7000))
        world.decide(relay_to(exact), SERVICE)
        asked = (SERVICE, SocketAddress("10.9.9.2", 7000), OTHER)
        assert [world.greeting(place) for place in asked] == ["exact", "port", "rest"]
        world.lane.remove_verdict(OUTBOUND, SERVICE)
        assert world.greeting(SERVICE) == "port"
        world.lane.remove_verdict(OUTBOUND, SocketAddress("0.0.0.0", 7000))
        assert world.greeting(SERVICE) == "rest"
        world.lane.remove_verdict(OUTBOUND, SERVICE)

    def test_refuses(self, world: World) -> None:
        world.decide(Verdict(Action.REFUSE, id=3, group=9))
        world.is_refused()
        assert world.records(1)[0].ending is Ending.REFUSED
        assert world.counters(9).refused == 1

    def test_limits_connections(self, world: World) -> None:
        world.decide(relay_to(world.server("alpha"), max_connections=2))
        first, second = world.connect(), world.connect()
        assert first.recv(10) == second.recv(10) == b"alpha\n"
        world.is_refused()
        assert world.records(1)[0].ending is Ending.LIMITED
        first.close()
        world.records(2)
        assert world.greeting() == "alpha"

    def test_bad_verdicts_change_nothing(self, world: World) -> None:
        world.decide(relay_to(world.server("alpha")))
        for bad in (
            Verdict(Action.RELAY),
            Verdict(Action.RELAY, endpoints=(Endpoint(OTHER, group=1, weight=0),)),
            Verdict(Action.PASS, endpoints=(Endpoint(OTHER, group=1),)),
            Verdict(Action.RELAY, endpoints=(Endpoint(SocketAddress("10.9.9.1", 0), group=1),)),
        ):
            with pytest.raises(EngineError) as caught:
                world.decide(bad)
            assert caught.value.errno == errno.EINVAL
        with pytest.raises(ValueError, match="nonsense"):
            world.decide(relay_to(), SocketAddress("nonsense", 1))
        assert world.greeting() == "alpha"


class TestConnecting:
    def test_tries_the_next_endpoint_on_refusal(self, world: World) -> None:
        server = world.server("alive")
        dead = Endpoint(closed_port(), group=200, weight=1000)
        alive = Endpoint(server.place, group=201)
        world.decide(Verdict(Action.RELAY, endpoints=(dead, alive), balance=Balance.ROUND_ROBIN))
        assert {world.greeting() for _ in range(5)} == {"alive"}
        assert max(record.attempts for record in world.records(5)) == 2
        assert {record.upstream for record in world.records(5)} == {server.place}
        assert world.counters(200).opened == 0
        assert world.counters(200).connect_failures >= 4
        assert world.counters(201).opened == 5

    def test_resets_when_nobody_accepts(self, world: World) -> None:
        endpoints = tuple(Endpoint(closed_port(), group=200) for _ in range(3))
        world.decide(Verdict(Action.RELAY, endpoints=endpoints))
        world.is_refused()
        (record,) = world.records(1)
        assert (record.ending, record.error, record.attempts) == (Ending.CONNECT_FAILED, errno.ECONNREFUSED, 3)
        assert record.connect_us is None
        assert world.counters(200).connect_failures == 3

    def test_max_attempts(self, world: World) -> None:
        endpoints = tuple(Endpoint(closed_port(), group=200) for _ in range(3))
        world.decide(Verdict(Action.RELAY, endpoints=endpoints, max_attempts=2))
        world.is_refused()
        assert world.records(1)[0].attempts == 2

    def test_an_endpoint_that_does_not_answer_costs_its_timeout(self, world: World) -> None:
        server = world.server("alive")
        silent = Endpoint(SocketAddress("127.0.0.1", 9999), group=200, weight=100_000)
        endpoints = (silent, Endpoint(server.place, group=201))
        world.decide(Verdict(Action.RELAY, endpoints=endpoints, connect_timeout_ms=300))
        begin = time.monotonic()
        assert world.greeting() == "alive"
        assert time.monotonic() - begin >= 0.3
        world.decide(Verdict(Action.RELAY, endpoints=(silent,), connect_timeout_ms=300))
        world.is_refused()
        record = world.records(2)[1]
        assert (record.ending, record.error) == (Ending.CONNECT_TIMEOUT, errno.ETIMEDOUT)

    def test_a_client_that_gives_up_ends_the_attempt(self, world: World) -> None:
        silent = Endpoint(SocketAddress("127.0.0.1", 9999), group=200)
        world.decide(Verdict(Action.RELAY, endpoints=(silent,), connect_timeout_ms=60_000))
        sock = world.connect()
        until(lambda: len(world.lane.connections()) == 1, "the connection")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        assert world.records(1)[0].ending is Ending.DOWNSTREAM_RESET

    def test_what_the_client_said_meanwhile_is_delivered(self, world: World) -> None:
        """Also when it has half-closed before anybody was connected."""
        server = world.server("alive")
        endpoints = (
            Endpoint(SocketAddress("127.0.0.1", 9999), group=200, weight=100_000),
            Endpoint(server.place, group=201),
        )
        world.decide(Verdict(Action.RELAY, endpoints=endpoints, connect_timeout_ms=200))
        assert world.greeting() == "alive"

    def test_idle_timeout_and_lifetime_of_a_verdict(self, world: World) -> None:
        server = world.server("alpha")
        world.decide(relay_to(server, idle_timeout_ms=200))
        world.is_refused()
        world.decide(relay_to(server, lifetime_ms=200))
        world.is_refused()
        assert [one.ending for one in world.records(2)] == [Ending.IDLE_TIMEOUT, Ending.LIFETIME]


class TestPunting:
    def test_an_unknown_destination_is_punted_once(self, world: World) -> None:
        sock = world.connect()
        punt = world.punt()
        assert (punt.scope, punt.original) == (OUTBOUND, SERVICE)
        assert (punt.peer.ip, punt.peer.port) == sock.getsockname()
        with socket.socket(fileno=punt.fd) as taken:
            assert not taken.getblocking() or os.get_blocking(punt.fd) is False
            sock.sendall(b"hello")
            until(lambda: bool(select.select([taken], [], [], 0)[0]), "the client's bytes")
            assert taken.recv(10) == b"hello"
        world.decide(relay_to(world.server("decided")))
        assert world.greeting() == "decided"
        assert world.lane.punts() == []

    def test_a_verdict_can_ask_for_punting(self, world: World) -> None:
        world.decide(relay_to(world.server("rest")), ANYTHING)
        world.decide(Verdict(Action.PUNT), SERVICE)
        world.connect()
        os.close(world.punt().fd)
        assert world.greeting(OTHER) == "rest"

    def test_a_punted_connection_can_be_given_back(self, world: World) -> None:
        server = world.server("alpha")
        sock = world.connect()
        upstream = socket.create_connection(server.place[:2])
        world.engine.relay(1, world.punt().fd, upstream.detach(), punted=True)
        assert sock.recv(100) == b"alpha\n"
        assert world.engine.totals().outstanding == 1

    def test_a_punted_connection_holds_its_place(self, stack: ExitStack) -> None:
        world = World(stack, capacity=1)
        first, second = world.connect(), world.connect()
        punt = world.punt()
        assert punt.peer.port == first.getsockname()[1]
        time.sleep(0.3)
        assert world.lane.punts() == []
        assert world.engine.totals().limit_pauses == 1
        os.close(punt.fd)
        world.lane.forget()
        assert world.punt().peer.port == second.getsockname()[1]

    def test_uncollected_punts_are_reset_by_close(self, world: World) -> None:
        sock = world.connect()
        until(lambda: bool(select.select([world.engine.completion_fd], [], [], 0)[0]), "the punt")
        world.engine.close()
        ends_by_reset(sock)


class TestRefusedLoudly:
    def test_direct_dial(self, world: World) -> None:
        world.is_refused(SocketAddress("127.0.0.1", world.port))
        world.is_refused(SocketAddress("::1", world.port))
        assert {one.ending for one in world.records(2)} <= {Ending.DIRECT_DIAL, Ending.NO_DESTINATION}

    def test_without_nat_there_is_no_destination(self, stack: ExitStack) -> None:
        world = World(stack)
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        world.lane.listen(listener.detach(), scope=OUTBOUND, original=Original.SOCKNAME)
        world.is_refused(SocketAddress("127.0.0.1", port))
        assert world.records(1)[0].ending is Ending.DIRECT_DIAL

    def test_own_connections_that_come_back(self, stack: ExitStack) -> None:
        """Without a mark our connection to the original destination is captured like any other."""
        world = World(stack, mark=0)
        world.decide(Verdict(Action.PASS), ANYTHING)
        world.is_refused()
        records = world.records(5)
        assert [one.hops for one in records if one.ending is Ending.LOOP] == [4]
        assert sorted(one.hops for one in records) == [0, 1, 2, 3, 4]


class TestUnderLoad:
    def test_verdicts_change_under_load(self, stack: ExitStack) -> None:
        """Every connection reaches a server that was in force while it was made, and none fails."""
        world = World(stack, threads=2)
        servers = {name: world.server(name) for name in ("a", "b")}
        world.decide(relay_to(servers["a"]))
        kept = world.connect()
        assert kept.recv(10) == b"a\n"
        stop, failures, total = threading.Event(), [], Counter[str]()

        def hammer() -> None:
            mine: Counter[str] = Counter()
            while not stop.is_set():
                try:
                    mine[world.greeting()] += 1
                except (OSError, AssertionError) as failed:
                    failures.append(failed)
            total.update(mine)

        workers = [threading.Thread(target=hammer) for _ in range(4)]
        for worker in workers:
            worker.start()
        try:
            for turn in range(600):
                world.decide(relay_to(servers["ab"[turn % 2]], id=turn))
                for port in range(8000, 8010):
                    world.decide(relay_to(servers["a"], id=port), SocketAddress("10.9.9.1", port + 10 * turn))
                if turn % 3 == 0:
                    world.lane.remove_verdict(OUTBOUND, SocketAddress("10.9.9.1", 8000 + 10 * turn))
                world.seen += world.lane.records()
        finally:
            stop.set()
            for worker in workers:
                worker.join()
        assert failures == []
        assert set(total) == {"a", "b"}
        kept.sendall(b"still here")
        assert kept.recv(100) == b"still here"
        world.decide(relay_to(servers["b"]))
        assert {world.greeting() for _ in range(20)} == {"b"}

    def test_unlisten_refuses_new_and_keeps_old(self, world: World) -> None:
        world.decide(relay_to(world.server("alpha")))
        kept = world.connect()
        assert kept.recv(10) == b"alpha\n"
        assert world.lane.accepted(world.number) == 1
        world.lane.unlisten(world.number, drain_ms=100)
        with pytest.raises(ConnectionRefusedError):
            world.connect()
        kept.sendall(b"x")
        assert kept.recv(1) == b"x"
        with pytest.raises(EngineError):
            world.lane.unlisten(world.number)

    def test_short_of_descriptors_it_waits(self, world: World) -> None:
        """At EMFILE nothing is dropped or spun on: the backlog holds what comes until descriptors are free."""
        world.decide(relay_to(world.server("alpha")))
        assert world.greeting() == "alpha"
        clients = [socket.socket() for _ in range(20)]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest_free = os.dup(0)
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
        try:
            for client in clients:
                client.settimeout(PATIENCE_S)
                client.connect((SERVICE.ip, SERVICE.port))
            before = time.process_time()
            time.sleep(0.5)
            assert time.process_time() - before < 0.25
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for client in clients:
            assert client.recv(10) == b"alpha\n"
            client.close()
        assert world.engine.totals().accept_pauses > 0
        assert {one.ending for one in world.records(21)} == {Ending.FINISHED}

    def test_at_capacity_it_waits(self, stack: ExitStack) -> None:
        world = World(stack, capacity=2)
        world.decide(relay_to(world.server("alpha")))
        held = [world.connect() for _ in range(5)]
        assert held[0].recv(10) == held[1].recv(10) == b"alpha\n"
        assert select.select(held[2:], [], [], 0.3)[0] == []
        for sock in held[:2]:
            sock.close()
        world.records(2)
        assert held[2].recv(10) == held[3].recv(10) == b"alpha\n"

    def test_three_thousand_short_connections_leave_nothing(self, stack: ExitStack) -> None:
        world = World(stack, threads=2)
        world.decide(relay_to(world.server("a"), world.server("b")))
        world.greeting()
        world.records(1)
        before = len(os.listdir("/proc/self/fd"))

        def many() -> None:
            for _ in range(1000):
                assert world.greeting() in {"a", "b"}

        workers = [threading.Thread(target=many) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        records = world.records(3001)
        assert len({one.id for one in records}) == 3001
        assert {one.ending for one in records} == {Ending.FINISHED}
        assert sum(one.opened for one in world.lane.counters()) == 3001
        assert sum(one.bytes_sent for one in world.lane.counters()) == 3001 * 9
        until(lambda: len(os.listdir("/proc/self/fd")) <= before, "descriptors to be back")
        assert world.engine.totals().active == 0
