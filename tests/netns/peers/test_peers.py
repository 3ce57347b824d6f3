"""Every client against every server: the proxy says to each side, byte for byte, what the other one said to it, and the
client is told what it is told without a proxy."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.parsed.routes_rig import http_service
from tests.netns.peers import clients, servers
from tests.netns.peers.recorder import Recorder
from tests.netns.proxy.config_rig import proxy_with
from tests.netns.proxy.proxy_rig import PEER_V4, dial, rules, until
from tests.netns.shared_folder import shared_folder

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]
NEAR, FAR, VIP = 8800, 8801, "10.0.0.80"
CHANGES = re.compile(
    rb"(?im)^(date|sec-websocket-(?:key|accept)): [^\r\n]*"  # the moment, and what is random
)


@dataclass
class Bench:
    lab: Lab
    name: str
    near: Recorder
    far: Recorder
    folder: Path

    def ask(self, client: str) -> str:
        argv = clients.command(client, f"http://127.0.0.1:{NEAR}", self.name, self.folder)
        self.near.forget()
        self.far.forget()
        done = self.lab.app.run(argv, timeout=120)
        until(self.settled, f"both sides to be recorded: {self.difference()}")
        return re.sub(r"(?im)^date: .*\n", "", done.stdout)

    def difference(self) -> str:
        """For a reader of the failure."""
        for what, one, other in (("sent", self.near.sent, self.far.sent), ("got", self.near.got, self.far.got)):
            if one != other:
                same = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))
                return (
                    f"{what}: {bytes(one[max(0, same - 50) :][:150])!r} and {bytes(other[max(0, same - 50) :][:150])!r}"
                )
        return ""

    def settled(self) -> bool:
        return len(self.near.sent) == len(self.far.sent) and len(self.near.got) == len(self.far.got)


class Way:
    """How the client's side leads to the server's: what `Recorder` dials."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.name = "direct"

    def dial(self) -> socket.socket:
        if self.name == "direct":
            return dial(self._lab.peer, PEER_V4, FAR, timeout=30)
        place = (PEER_V4, FAR) if self.name == "passed" else (VIP, 80)
        return dial(self._lab.app, *place, timeout=30)


@pytest.fixture(scope="module", params=servers.PORTS)
def upstream(request: pytest.FixtureRequest, lab: Lab) -> Iterator[str]:
    with shared_folder(str(request.param)) as folder, servers.server(lab.peer, request.param, folder):
        yield request.param


@pytest.fixture(scope="module")
def proxied(lab: Lab) -> Iterator[None]:
    documents = http_service("web", FAR, ip=VIP)
    with rules(lab.app), shared_folder("proxy") as folder, proxy_with(lab, folder / "config.yaml", documents):
        yield


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return servers.compiled(tmp_path_factory.mktemp("classes"), "Ask")


def asked(near: Recorder) -> list[bytes]:
    """The lines that the client said, without what is random in them. A client that gets an answer before it has sent
    its whole request may go on by another connection, so their order is its own matter. One that finds
    its connection ended says the same again. What follows an upgrade is masked at random."""
    sent = (CHANGES.sub(b"", sent.partition(b"GET /socket ")[0]) for sent, _ in near.spoken())
    return sorted({line for one in sent for line in one.split(b"\r\n")})


@pytest.mark.takes(4)
@pytest.mark.usefixtures("proxied")
@pytest.mark.parametrize("client", clients.NAMES)
def test_both_sides_say_the_same(lab: Lab, classes: Path, upstream: str, client: str) -> None:
    way = Way(lab)
    server = servers.PORTS[upstream]
    with (
        Recorder(lab.peer, (PEER_V4, FAR), lambda: dial(lab.peer, "127.0.0.1", server, timeout=30)) as far,
        Recorder(lab.app, ("127.0.0.1", NEAR), way.dial) as near,
    ):
        bench = Bench(lab, upstream, near, far, classes)
        told = {"direct": bench.ask(client)}
        direct = asked(near)
        assert direct
        for way.name in ("passed", "service"):
            told[way.name] = bench.ask(client)
            assert asked(near) == direct, f"{way.name}: the client asked something else"
            if sorted(near.spoken()) != sorted(far.spoken()):
                assert way.name == "service", "connections of one client each are told apart"
                assert bytes(near.sent) == bytes(far.sent), "the server got something else"
                assert bytes(near.got) == bytes(far.got), "the client got something else"
    assert told["passed"] == told["direct"]
    assert told["service"] == told["direct"]
