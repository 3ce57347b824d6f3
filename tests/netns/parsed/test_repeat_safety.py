"""Only what is safe is sent again: by its method, by an idempotency key, or because nothing of it was sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.parsed.origin import origins
from tests.netns.parsed.routes_rig import DEAD, VIP, http_service, status
from tests.netns.proxy.config_rig import proxy_with
from tests.unit.mesh.support import traffic_policy

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]
ONE = 8111
RETRIES = "retries: {attempts: 2, retryOn: ['503', connect-failure], backoff: {base: 1ms, max: 1ms}}"


@pytest.mark.parametrize(
    ("flags", "times"),
    [((), 3), (("-d", "x"), 1), (("-d", "x", "-H", "Idempotency-Key: k"), 3), (("-X", "PUT", "-d", "x"), 3)],
)
def test_a_request_is_sent_again_only_where_that_is_safe(
    lab: Lab, file: Path, flags: tuple[str, ...], times: int
) -> None:
    text = http_service("web", ONE, ip=VIP) + traffic_policy("web", RETRIES)
    with origins(lab, ONE) as (origin,), proxy_with(lab, file, text):
        origin.status = 503
        assert status(lab, "/", *flags) == 503
        assert origin.seen["/"] == times


def test_what_was_not_sent_is_sent_to_another_endpoint(lab: Lab, file: Path) -> None:
    text = http_service("web", ONE, DEAD, ip=VIP) + traffic_policy("web", RETRIES)
    with origins(lab, ONE) as (origin,), proxy_with(lab, file, text):
        for _ in range(12):
            assert status(lab, "/", "-d", "x") == 200
        assert origin.seen["/"] == 12
