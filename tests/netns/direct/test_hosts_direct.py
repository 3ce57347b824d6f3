"""The essence of the direct lane in few steps, for kernels on which its other tests would take hours."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from intercept.backends.ebpf.direct import inbound, live, services
from intercept.backends.kernel_lane import KernelCounters, KernelEndpoint, KernelService
from intercept.doctor.host import version_of
from tests.lab.patience import patient
from tests.netns.intercept.test_hosts_capture import APP, FAMILY, PEER, Rig, Wrong

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(400)]

VIRTUAL = {4: "10.96.0.1", 6: "fd96::1"}
RELEASE = version_of(os.uname().release)
REFUSED = errno.ECONNREFUSED if RELEASE >= (5, 18) else errno.EPERM


@pytest.fixture
def captured() -> Iterator[Rig]:
    if RELEASE < (5, 9):
        pytest.skip("kernel older than 5.9: sk_lookup")
    rig = Rig()
    try:
        rig.tidegate("init", "--mode", "ebpf").ok()
        yield rig
        rig.tidegate("cleanup").ok()
    finally:
        rig.close()


def test_the_direct_lane_from_end_to_end(captured: Rig) -> None:
    wrong = Wrong()
    with captured.app.entered():
        judge_balancing(captured, wrong)
        judge_refusals(captured, wrong)
        judge_inbound(captured, wrong)
    assert wrong == [], "\n".join(wrong)


def service(number: int, version: int, *ports: int) -> KernelService:
    endpoints = tuple(KernelEndpoint(PEER[version], port, 1) for port in ports)
    return KernelService(number, VIRTUAL[version], number, "round-robin", endpoints)


def told() -> dict[tuple[int, int], KernelCounters]:
    return {(one.service, one.port): one for one in services.telemetry()}


def judge_balancing(rig: Rig, wrong: Wrong) -> None:
    for version in (4, 6):
        services.push([service(7, version, 80, 8081)])
        seen = Counter(rig.dial(rig.app, version, VIRTUAL[version], 7)[0]["original"] for _ in range(4))
        wrong.expect(f"shares, IPv{version}", seen, {f"{PEER[version]}:80": 2, f"{PEER[version]}:8081": 2})
        answer, peer = rig.dial(rig.app, version, VIRTUAL[version], 7)
        wrong.expect(f"who, IPv{version}", (answer["who"], answer["source"]), ("peer", APP[version]))
        wrong.expect(f"getpeername, IPv{version}", peer, f"{VIRTUAL[version]}:7")
    services.push([service(7, 4, 80)._replace(balance="random", affinity_s=60)])
    answer, peer = rig.dial(rig.app, 6, f"::ffff:{VIRTUAL[4]}", 7)
    wrong.expect("v4-mapped", (answer["who"], peer), ("peer", f"{VIRTUAL[4]}:7"))
    with socket.create_connection((VIRTUAL[4], 7)) as client:
        line = len(client.makefile("rb").readline())
        client.shutdown(socket.SHUT_WR)
        opened = told()[7, 80].opened
    deadline = time.monotonic() + patient(5)
    while told()[7, 80].closed < opened and time.monotonic() < deadline:
        time.sleep(0.1)
    row = told()[7, 80]
    wrong.expect("closed", row.closed, row.opened)
    wrong.expect("bytes sent", row.bytes_sent, 0)
    # Service 7's first endpoint has served this one, the v4-mapped one and half of those before: the same line each.
    wrong.expect("bytes received", row.bytes_received, row.opened * line)
    wrong.expect("nothing is open", live.connections(), [])


def dial(version: int, port: int) -> int:
    with socket.socket(FAMILY[version]) as client:
        return client.connect_ex((VIRTUAL[version], port))


def judge_refusals(rig: Rig, wrong: Wrong) -> None:
    services.push(
        [
            service(8, 4, 80)._replace(denied=True),
            service(9, 4, 80)._replace(rate_per_s=0.001, burst=2),
            service(10, 6, 1),
        ]
    )
    wrong.expect("denied", dial(4, 8), REFUSED)
    wrong.expect("limited", [dial(4, 9) for _ in range(3)], [0, 0, REFUSED])
    wrong.expect("nobody listens", dial(6, 10), errno.ECONNREFUSED)
    rows = told()
    wrong.expect("counted as denied", rows[8, 0].denied, 1)
    wrong.expect("counted as limited", rows[9, 0].limited, 1)
    wrong.expect("counted as failed", (rows[10, 1].opened, rows[10, 1].failed), (0, 1))
    answer, _ = rig.dial(rig.app, 4, PEER[4], 80)
    wrong.expect("what is no service", answer["who"], "proxy")


def judge_inbound(rig: Rig, wrong: Wrong) -> None:
    inbound.push_inbound({8080})
    for version in (4, 6):
        answer, _ = rig.dial(rig.peer, version, APP[version], 8080)
        wrong.expect(f"inbound IPv{version}", (answer["who"], answer["source"]), ("app", PEER[version]))
    (row,) = inbound.telemetry_inbound()
    wrong.expect("counted inbound", (row.port, row.opened), (8080, 2 if RELEASE >= (5, 15) else 0))
