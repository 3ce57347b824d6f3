"""Consistent hashes on the running proxy: a caller's requests go to one endpoint, by table and asked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.parsed.routes_rig import DEAD, SERVICES, V1, V2, VIP, curl, http_service, to
from tests.netns.proxy.config_rig import proxy_with
from tests.unit.mesh.support import http_route, traffic_policy

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]
USERS = 24
ASKED = pytest.mark.parametrize("flags", [(), ("--ask-all",)], ids=["table", "asked"])


def hashed(spec: str, *ports: int) -> str:
    ports = ports or (V1, V2)
    return http_service("web", *ports, ip=VIP) + traffic_policy("web", f"loadBalancer: {{consistentHash: {{{spec}}}}}")


def servers(lab: Lab, header: str, *values: object) -> dict[object, str]:
    """Who answered each value's requests: always one and the same server."""
    found: dict[object, str] = {}
    for value in values:
        said = {line.split()[0] for line in curl(lab, "/[1-4]", "-H", f"{header}{value}").splitlines()}
        assert len(said) == 1, (value, said)
        found[value] = said.pop()
    return found


@ASKED
@pytest.mark.parametrize(
    ("spec", "header"),
    [
        ("httpHeaderName: X-User", "x-user: "),
        ("httpCookie: {name: user}, maglev: {tableSize: 1009}", "cookie: other=1; user="),
    ],
)
def test_a_caller_keeps_its_endpoint(lab: Lab, file: Path, spec: str, header: str, flags: tuple[str, ...]) -> None:
    with proxy_with(lab, file, hashed(spec), *flags):
        first = servers(lab, header, *range(USERS))
        assert set(first.values()) == {"v1", "v2"}
        assert servers(lab, header, *range(USERS)) == first


def test_few_callers_move_when_an_endpoint_comes(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, hashed("httpHeaderName: x-user", V1)):
        assert set(servers(lab, "x-user: ", *range(4)).values()) == {"v1"}
    with proxy_with(lab, file, hashed("httpHeaderName: x-user")):
        both = servers(lab, "x-user: ", *range(USERS))
    # Nothing listens at the third: its callers go where the ring leads next. A ring of the same size has fewer places
    # for each of three, so some others move, too.
    with proxy_with(lab, file, hashed("httpHeaderName: x-user", V1, V2, DEAD)):
        with_third = servers(lab, "x-user: ", *range(USERS))
    assert sum(with_third[one] != both[one] for one in both) <= USERS // 3


@ASKED
def test_a_client_without_the_cookie_is_given_one(lab: Lab, file: Path, flags: tuple[str, ...]) -> None:
    with proxy_with(lab, file, hashed("httpCookie: {name: user, path: /, ttl: 1h}"), *flags):
        answer = curl(lab, "/", "-i")
        found = re.search(r"^set-cookie: (user=[0-9a-f]{16}); Max-Age=3600; Path=/; HttpOnly$", answer, re.MULTILINE)
        assert found is not None, answer
        server = answer.splitlines()[-1].split()[0]
        again = curl(lab, "/[1-6]", "-i", "-H", f"cookie: {found[1]}")
        assert "set-cookie" not in again
        assert {line.split()[0] for line in again.splitlines() if line.startswith("v")} == {server}


def test_one_endpoint_gives_cookies_too(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, hashed("httpCookie: {name: user, ttl: 0s}", V1)):
        assert re.search(r"^set-cookie: user=[0-9a-f]{16}; HttpOnly$", curl(lab, "/", "-i"), re.MULTILINE)


def test_without_what_is_hashed_requests_are_spread(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, hashed("httpHeaderName: x-user")):
        assert {line.split()[0] for line in curl(lab, "/[1-40]").splitlines()} == {"v1", "v2"}


def test_one_address_is_one_caller(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, hashed("useSourceIp: true")):
        assert len({curl(lab, "/").split()[0] for _ in range(12)}) == 1


def test_the_backends_hash_holds_behind_a_route(lab: Lab, file: Path) -> None:
    text = SERVICES + http_service("both", V1, V2) + http_route("{" + to("both") + "}")
    text += traffic_policy("both", "loadBalancer: {consistentHash: {httpHeaderName: x-user}}")
    with proxy_with(lab, file, text):
        assert set(servers(lab, "x-user: ", *range(USERS)).values()) == {"v1", "v2"}
