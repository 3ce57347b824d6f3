"""sessionPersistence of a route's rule on the running proxy: by table, asked, and with a filter loaded."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.parsed.routes_rig import DEAD, SERVICES, V1, V2, curl, http_service, to
from tests.netns.proxy.config_rig import proxy_with
from tests.unit.mesh.support import http_route

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]
BOTH = SERVICES + http_service("both", V1, V2)
GIVEN = r"[0-9a-f]{16}\.[0-9a-f]+\.[0-9a-f]+"
ASKED = pytest.mark.parametrize("flags", [(), ("--ask-all",)], ids=["table", "asked"])


def route(persistence: str, *backends: str, match: str = "/") -> str:
    path = f"matches: [{{path: {{type: PathPrefix, value: {match}}}}}]"
    return http_route(f"{{{path}, sessionPersistence: {{{persistence}}}, {to(*(backends or ('both',)))}}}")


def begun(lab: Lab, path: str = "/", header: str = "set-cookie") -> tuple[str, str, str]:
    """A new session's token, what follows it, and the server that it belongs to."""
    answer = curl(lab, path, "-i")
    found = re.search(rf"^{header}: (?:[\w-]+=)?({GIVEN})(.*)$", answer, re.MULTILINE | re.IGNORECASE)
    assert found is not None, answer
    return found[1], found[2], answer.splitlines()[-1].split()[0]


def servers(lab: Lab, header: str, count: int = 8, path: str = "/") -> set[str]:
    return {line.split()[0] for line in curl(lab, f"{path}[1-{count}]", "-H", header).splitlines()}


@ASKED
def test_a_cookie_leads_back_to_its_endpoint(lab: Lab, file: Path, flags: tuple[str, ...]) -> None:
    with proxy_with(lab, file, BOTH + route("sessionName: cart", match="/shop"), *flags) as proxy:
        for _ in range(4):
            token, rest, server = begun(lab, "/shop/")
            assert rest == "; Path=/shop; HttpOnly"
            assert servers(lab, f"cookie: a=b; cart={token}", path="/shop/") == {server}
        assert "not obeyed" not in proxy.stderr()


@ASKED
def test_a_header_leads_back_to_its_endpoint(lab: Lab, file: Path, flags: tuple[str, ...]) -> None:
    with proxy_with(lab, file, BOTH + route("sessionName: X-Session, type: Header"), *flags):
        for _ in range(3):
            token, _, server = begun(lab, header="x-session")
            assert servers(lab, f"x-session: {token}") == {server}
            assert "x-session" not in curl(lab, "/", "-i", "-H", f"X-SESSION: {token}").lower()


@ASKED
def test_a_session_stays_whatever_the_weights(lab: Lab, file: Path, flags: tuple[str, ...]) -> None:
    """A canary that is rolled back keeps the sessions that it has."""
    with proxy_with(lab, file, BOTH + route("sessionName: s", "v1=0", "v2=1"), *flags):
        token, _, server = begun(lab)
        assert server == "v2"
    with proxy_with(lab, file, BOTH + route("sessionName: s", "v1=1", "v2=0"), *flags):
        assert servers(lab, f"cookie: s={token}") == {"v2"}
        assert servers(lab, "cookie: s=0123456789abcdef.1.1") == {"v1"}


def test_with_a_filter_loaded_sessions_hold(lab: Lab, file: Path) -> None:
    script = file.with_name("filter.py")
    script.write_text("def on_request(request):\n    request.headers.set('x-set', 'f')\n")
    text = BOTH + route("sessionName: s", "v1=1", "v2=1")
    with proxy_with(lab, file, text, "--filter", str(script)):
        for _ in range(3):
            token, _, server = begun(lab)
            assert servers(lab, f"cookie: s={token}") == {server}
        assert "set=f" in curl(lab, "/")


def test_a_session_of_an_endpoint_that_is_gone_begins_anew(lab: Lab, file: Path) -> None:
    text = SERVICES + http_service("both", V1, DEAD)
    with proxy_with(lab, file, text + route("sessionName: s")):
        token, _, server = begun(lab)
        assert server == "v1"  # the other one takes no connection
    with proxy_with(lab, file, SERVICES + http_service("both", V2) + route("sessionName: s")):
        answer = curl(lab, "/", "-i", "-H", f"cookie: s={token}")
        assert answer.splitlines()[-1].startswith("v2 ")
        assert re.search(rf"^set-cookie: s={GIVEN}", answer, re.MULTILINE)


def test_a_permanent_cookie_lives_as_long_as_its_session(lab: Lab, file: Path) -> None:
    spec = "sessionName: s, absoluteTimeout: 1h, cookieConfig: {lifetimeType: Permanent}"
    with proxy_with(lab, file, BOTH + route(spec)):
        assert begun(lab)[1] == "; Max-Age=3600; Path=/; HttpOnly"


def test_a_session_that_rests_too_long_is_over(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, BOTH + route("sessionName: s, idleTimeout: 2s")):
        token, _, _ = begun(lab)
        time.sleep(3.1)
        answer = curl(lab, "/", "-i", "-H", f"cookie: s={token}")
        renewed = re.search(rf"^set-cookie: s=({GIVEN})", answer, re.MULTILINE)
        assert renewed is not None
        assert renewed[1].split(".")[1] != token.split(".")[1]


def test_edits_of_the_answer_and_the_cookie_are_both_made(lab: Lab, file: Path) -> None:
    edit = "filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [x-secret]}}]"
    rule = f"{{sessionPersistence: {{sessionName: s}}, {edit}, {to('both')}}}"
    with proxy_with(lab, file, BOTH + http_route(rule)):
        answer = curl(lab, "/", "-i").lower()
        assert "set-cookie: s=" in answer
        assert "x-secret" not in answer
