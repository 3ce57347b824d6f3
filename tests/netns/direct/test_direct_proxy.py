"""The direct lane as an operator has it: a configuration, `tidegate proxy`, ebpf capture, and no proxy in the path."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab
from tests.lab.beside import COMPANION, the_one
from tests.netns.proxy.config_rig import ONE, TWO, VIP, VIP6, ask, file, proxy_with, says, web, write
from tests.netns.proxy.proxy_rig import APP_V4, PEER_V4, PEER_V6, ProxyProcess, Server, dial, until
from tests.unit.mesh.support import traffic_policy

pytestmark = pytest.mark.kernel
SLOW, MUCH = 8004, 500_000
__all__ = ["file"]


@pytest.fixture(scope="module", autouse=True)
def backends(lab: Lab) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for host in (PEER_V4, PEER_V6):
            stack.enter_context(Server(lab.peer, host, ONE, says(b"1")))
            stack.enter_context(Server(lab.peer, host, TWO, says(b"2")))
        yield


@pytest.fixture(autouse=True)
def captured(lab: Lab) -> Iterator[None]:
    lab.tidegate("init", "--mode", "ebpf").ok()
    try:
        yield
    finally:
        lab.tidegate("cleanup").ok()


def answer(lab: Lab, ip: str = VIP) -> bytes:
    word = ask(lab, ip)
    assert word
    return word


@contextlib.contextmanager
def direct(lab: Lab, file: Path, text: str, *flags: str) -> Iterator[ProxyProcess]:
    """A proxy that is ready: its companion has taken the services to the kernel."""
    with proxy_with(lab, file, text, *flags) as proxy:
        until(lambda: proxy.request("/healthz/ready")[0] == 200, "readiness")
        yield proxy


def opened(proxy: ProxyProcess, lane: str) -> float:
    return proxy.metric("tidegate_lane_connections_total", lane=lane)


def logged(proxy: ProxyProcess, lane: str) -> list[dict[str, Any]]:
    return [line for line in proxy.access_log() if line["lane"] == lane]


def test_connections_go_to_the_endpoint_and_are_told_as_the_proxys_are(lab: Lab, file: Path) -> None:
    with direct(lab, file, web(ONE)) as proxy:
        with dial(lab.app, VIP, 80) as client:
            assert client.getpeername() == (VIP, 80)
            client.sendall(b"hello")
            assert client.recv(1) == b"1"
            mine = client.getsockname()
        line = until(
            lambda: [x for x in logged(proxy, "direct") if x["downstream"] == f"{mine[0]}:{mine[1]}"], "a line"
        )
        assert line[0]["original_destination"] == f"{VIP}:80"
        assert (line[0]["upstream"], line[0]["bytes_sent"]) == (f"{PEER_V4}:{ONE}", 5)
        assert "L4 policy only" in line[0]["lane_reason"]
        labels = {"destination_service_name": "web", "reporter": "source"}
        closed, count = "istio_tcp_connections_closed_total", "istio_tcp_connections_opened_total"
        until(lambda: proxy.metric(closed, **labels) == proxy.metric(count, **labels) == 1, "the kernel's counts")
        endpoint = {"endpoint": f"{PEER_V4}:{ONE}", "lane": "direct"}
        per_endpoint = "tidegate_endpoint_connections_opened_total"
        assert proxy.metric(per_endpoint, **endpoint) == proxy.metric(count, **labels)
        assert proxy.metric("istio_tcp_received_bytes_total", **labels) >= 5
        assert 0 < proxy.metric("tidegate_endpoint_srtt_seconds", **endpoint) < 1


def test_ready_means_that_the_very_next_connection_is_direct(lab: Lab, file: Path) -> None:
    for _ in range(5):
        with direct(lab, file, web(ONE)) as proxy:
            assert [ask(lab) for _ in range(3)] == [b"1"] * 3
            until(lambda: len(logged(proxy, "direct")) == 3, "the kernel's record")
            assert opened(proxy, "splice") == 0


def test_both_families(lab: Lab, file: Path) -> None:
    both = web(ONE) + web(TWO, ip=VIP6, host=PEER_V6).replace("name: web", "name: web6").replace("web-", "web6-")
    with direct(lab, file, both) as proxy:
        assert answer(lab, VIP6) == b"2"
        until(lambda: [x for x in logged(proxy, "direct") if x["original_destination"] == f"[{VIP6}]:80"], "IPv6")


def test_a_change_is_in_the_kernel_within_a_tenth_of_a_second_and_old_connections_stay(lab: Lab, file: Path) -> None:
    with direct(lab, file, web(ONE)):
        took = []
        with dial(lab.app, VIP, 80) as old:
            assert old.recv(1) == b"1"
            for number in range(10):
                port, word = ((TWO, b"2"), (ONE, b"1"))[number % 2]
                began = time.monotonic()
                write(file, web(port))
                until(lambda word=word: ask(lab) == word, "the other endpoint")  # type: ignore[misc]
                took.append(time.monotonic() - began)
                time.sleep(0.05)
            old.sendall(b"still here")
            assert old.recv(100) == b"still here"
        took.sort()
        assert took[len(took) // 2] < 0.1, took


def test_the_proxy_need_not_live(lab: Lab, file: Path) -> None:
    with direct(lab, file, web(ONE)) as proxy:
        os.kill(proxy.pid, signal.SIGKILL)
        proxy.process.wait()
        assert [ask(lab) for _ in range(20)] == [b"1"] * 20
        with pytest.raises(ConnectionRefusedError):
            dial(lab.app, PEER_V4, ONE)  # this one goes by the proxy


@pytest.mark.takes(5)
def test_after_a_companion_that_died_changes_reach_the_kernel_again(lab: Lab, file: Path) -> None:
    with direct(lab, file, web(ONE)) as proxy:
        until(lambda: ask(lab) == b"1", "the first endpoint")
        first = the_one(proxy.pid, COMPANION)
        os.kill(first, signal.SIGKILL)
        until(lambda: proxy.request("/healthz/ready")[0] == 503, "unreadiness")
        assert ask(lab) == b"1", "the kernel goes on by what it was told last"
        write(file, web(TWO))  # while there is nobody to tell
        until(lambda: proxy.request("/healthz/ready")[0] == 200, "readiness")
        until(lambda: ask(lab) == b"2", "the other endpoint")
        before = len(logged(proxy, "direct"))
        ask(lab)
        until(lambda: len(logged(proxy, "direct")) > before, "the kernel's records to come again")


def test_who_is_denied_and_what_is_too_fast_is_refused_by_the_kernel(lab: Lab, file: Path) -> None:
    with direct(lab, file, web(ONE)) as proxy:
        write(file, web(ONE, extra=traffic_policy("web", "deniedSources: [10.0.0.0/8]")))
        until(lambda: refused(lab), "the denial")
        write(file, web(ONE, extra=traffic_policy("web", "deniedSources: [10.0.0.99/32]")))
        until(lambda: not refused(lab), "the end of the denial")
        write(
            file,
            web(ONE, extra=traffic_policy("web", "connectionRateLimit: {connections: 1, interval: 3600s, burst: 1}")),
        )
        until(lambda: refused(lab), "one too many")
        assert refused(lab)
        until(lambda: proxy.metric("tidegate_direct_refused_total", reason="denied") >= 1, "the count of denials")
        until(lambda: proxy.metric("tidegate_direct_refused_total", reason="rate-limited") >= 1, "those too fast")


def unready(*ports: int) -> str:
    return web(*ports).replace("']}]", "'], conditions: {ready: false}}]")


def test_a_service_whose_endpoints_all_turn_unready_refuses_and_the_next_change_is_taken(lab: Lab, file: Path) -> None:
    with direct(lab, file, web(ONE, TWO)) as proxy:
        write(file, unready(ONE, TWO))
        until(lambda: refused(lab), "the refusal")
        write(file, web(TWO))
        until(lambda: not refused(lab) and ask(lab) == b"2", "the endpoint that is ready")
        assert proxy.request("/healthz/ready")[0] == 200
        assert "internal error" not in proxy.stderr()
    with direct(lab, file, unready(ONE)) as proxy:
        assert refused(lab)
        write(file, web(ONE))
        until(lambda: not refused(lab) and ask(lab) == b"1", "its endpoint")


def refused(lab: Lab) -> bool:
    try:
        dial(lab.app, VIP, 80).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("how", ["flag", "policy"])
def test_an_operator_can_have_it_otherwise(lab: Lab, file: Path, how: str) -> None:
    flags = ("--lane", "splice") if how == "flag" else ()
    extra = traffic_policy("web", "lane: splice") if how == "policy" else ""
    with proxy_with(lab, file, web(ONE, extra=extra), *flags) as proxy:
        until(lambda: "the direct lane is available" in proxy.stderr(), "the direct lane")
        assert [ask(lab) for _ in range(5)] == [b"1"] * 5
        assert {line["lane"] for line in proxy.wait_logged(5)} == {"splice"}
        assert "forced by" in proxy.access_log()[0]["lane_reason"]


def test_policy_that_the_kernel_cannot_honour_keeps_the_proxy_in_the_path(lab: Lab, file: Path) -> None:
    extra = traffic_policy("web", "connectionPool: {tcp: {maxConnections: 5}}")
    with direct(lab, file, web(ONE)) as proxy:
        before = len(logged(proxy, "splice"))
        write(file, web(ONE, extra=extra))
        until(lambda: ask(lab) == b"1" and len(logged(proxy, "splice")) > before, "the splice lane")
        assert "maxConnections" in logged(proxy, "splice")[-1]["lane_reason"]
        write(file, web(ONE))
        count = len(logged(proxy, "direct"))
        until(lambda: ask(lab) == b"1" and len(logged(proxy, "direct")) > count, "the direct lane again")


def test_inbound_goes_straight_to_the_workload_and_is_told(lab: Lab, file: Path) -> None:
    """The Service's endpoint is the workload itself."""
    with Server(lab.app, APP_V4, ONE, says(b"w")) as workload, direct(lab, file, web(ONE)) as proxy:
        write(file, web(ONE, host=APP_V4))

        def arrives() -> bool:
            with dial(lab.peer, APP_V4, ONE) as client:
                assert client.recv(1) == b"w"
                return bool(workload.peers[-1][:2] == client.getsockname()[:2])

        until(arrives, "a connection without the proxy")
        with dial(lab.peer, APP_V4, ONE) as client:
            assert client.recv(1) == b"w"
            client.sendall(b"abc")
            assert client.recv(3) == b"abc"
            mine = "{}:{}".format(*client.getsockname())
            until(lambda: mine in [one["downstream"] for one in connections(proxy)], "it to be shown while open")
        (line,) = until(lambda: [one for one in logged(proxy, "direct") if one["downstream"] == mine], "its line")
        assert (line["direction"], line["original_destination"]) == ("inbound", f"{APP_V4}:{ONE}")
        assert (line["bytes_sent"], line["bytes_received"]) == (4, 3)
        labels = {"reporter": "destination", "destination_service_name": "web"}
        until(lambda: proxy.metric("istio_tcp_connections_closed_total", **labels) >= 1, "its count")


def test_an_open_connection_is_shown_with_its_lane(lab: Lab, file: Path) -> None:
    with direct(lab, file, web(ONE)) as proxy, dial(lab.app, VIP, 80) as client:
        client.sendall(b"hello")
        mine = "{}:{}".format(*client.getsockname())
        (shown,) = until(lambda: [one for one in connections(proxy) if one["downstream"] == mine], "the connection")
        assert (shown["lane"], shown["state"], shown["upstream"]) == ("direct", "relaying", f"{PEER_V4}:{ONE}")
        until(lambda: any(one["bytes_sent"] == 5 for one in connections(proxy)), "its bytes")


def connections(proxy: ProxyProcess) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(proxy.request("/connections")[1])
    return found


def test_cleanup_ends_the_direct_lane_too(lab: Lab, file: Path) -> None:
    with direct(lab, file, web(ONE)) as proxy:
        lab.tidegate("cleanup").ok()
        until(lambda: "not available any more" in proxy.stderr(), "the end of the lane")
        with pytest.raises(OSError, match=r"timed out|unreachable|No route"):  # nobody has the address
            dial(lab.app, VIP, 80, timeout=0.3)


def test_run_reports_the_lane(lab: Lab, file: Path, tmp_path: Path) -> None:
    lab.tidegate("cleanup").ok()  # its capture is the run's own
    write(file, web(ONE))
    report = tmp_path / "report.json"
    client = f"import socket; s=socket.create_connection(('{VIP}', 80)); s.sendall(b'abc'); print(s.recv(1))"
    how = ("--mode", "ebpf", "--config", str(file), "--report", str(report))
    lab.tidegate("run", *how, "--", "/usr/bin/python3", "-c", client).ok()
    (line,) = json.loads(report.read_text())["connections"]
    assert (line["lane"], line["original_destination"], line["upstream"]) == ("direct", f"{VIP}:80", f"{PEER_V4}:{ONE}")
    assert (line["bytes_sent"], line["protocol"]) == (3, "tcp")


def reads_late(sock: socket.socket) -> None:
    while sock.recv(1 << 14):
        time.sleep(0.01)


def test_run_waits_for_what_the_kernel_still_delivers(lab: Lab, file: Path, tmp_path: Path) -> None:
    """The command has sent and ended; its peer reads half a second later."""
    lab.tidegate("cleanup").ok()
    write(file, web(SLOW))
    report = tmp_path / "report.json"
    client = f"import socket; s=socket.create_connection(('{VIP}', 80)); s.settimeout(60); s.sendall(bytes({MUCH}))"
    how = ("--mode", "ebpf", "--config", str(file), "--report", str(report))
    with Server(lab.peer, PEER_V4, SLOW, reads_late):
        lab.tidegate("run", *how, "--", "/usr/bin/python3", "-c", client).ok()
    (line,) = json.loads(report.read_text())["connections"]
    assert (line["lane"], line["bytes_sent"]) == ("direct", MUCH)


def test_why_says_that_the_kernel_decides_and_where_to(lab: Lab, file: Path) -> None:
    with direct(lab, file, web(ONE, TWO)):
        assert answer(lab) in (b"1", b"2")
        told = lab.tidegate("why", f"{VIP}:80", "--json").ok().json
        assert "a Service of the direct lane" in told["capture"]["reason"]
        assert told["proxy"]["lane"]["lane"] == "direct"
        assert "past the proxy" in told["proxy"]["lane"]["decided"]
        assert told["proxy"]["outcome"] == "sent to one of 2 endpoints"
        assert [one["share"] for one in told["proxy"]["targets"][0]["endpoints"]] == [0.5, 0.5]
