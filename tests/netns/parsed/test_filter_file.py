"""`--filter`: a user's Python sees requests to Services and the heads of their answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.parsed.routes_rig import SERVICES, curl, to
from tests.netns.proxy.config_rig import proxy_with
from tests.unit.mesh.support import http_route

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]

FILTER = """
def on_request(request):
    if request.headers.get("x-team") is None:
        return request.answer(403, "which team?\\n", [("content-type", "text/plain")])
    request.headers.set("x-added", "by-filter")
    if request.target.startswith("/old/"):
        request.target = "/new/" + request.target.removeprefix("/old/")


def on_response(response):
    response.headers.remove("x-secret")
"""


def filtered(file: Path) -> str:
    path = file.with_name("filter.py")
    path.write_text(FILTER)
    path.chmod(0o644)
    return str(path)


@pytest.mark.parametrize("routed", [True, False])
def test_a_filter_answers_changes_and_sees_answers(lab: Lab, file: Path, routed: bool) -> None:
    text = SERVICES + (http_route("{" + to("v2") + "}") if routed else "")
    server = "v2" if routed else "v1"
    with proxy_with(lab, file, text, "--filter", filtered(file)):
        refused = curl(lab, "/", "-i")
        assert refused.startswith("HTTP/1.1 403 ")
        assert refused.endswith("which team?\n")
        passed = curl(lab, "/old/x", "-i", "-H", "x-team: blue")
        assert f"{server} /new/x added=by-filter " in passed
        assert "x-secret" not in passed
        assert f"x-server: {server}" in passed
