"""`tidegate proxy --config`: real connections go where the documents say, and a change of them moves new ones only."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab
from tests.netns.proxy.proxy_rig import PEER_V4, PEER_V6, ProxyProcess, Server, dial, echo, read_all, rules, until
from tests.unit.mesh.support import endpoints, service, tcp_route, traffic_policy

pytestmark = pytest.mark.kernel
VIP, VIP2, VIP6 = "10.0.0.80", "10.0.0.81", "fd00::80"
"""Addresses that nobody has: whoever gets an answer there was sent elsewhere."""
ONE, TWO, DEAD = 8001, 8002, 8003
TCP = "port: 80, name: tcp-main"


def says(word: bytes) -> Any:
    def handle(sock: socket.socket) -> None:
        sock.sendall(word)
        echo(sock)

    return handle


@pytest.fixture(scope="module")
def backends(lab: Lab) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for host in (PEER_V4, PEER_V6):
            stack.enter_context(Server(lab.peer, host, ONE, says(b"1")))
            stack.enter_context(Server(lab.peer, host, TWO, says(b"2")))
        stack.enter_context(rules(lab.app))
        yield


def web(*ports: int, extra: str = "", ip: str = VIP, host: str = PEER_V4, spec: str = "") -> str:
    """A Service whose endpoints are PEER's servers at these ports, a slice for each."""
    text = service("web", ip, port=TCP, spec=spec)
    for port in ports:
        one = endpoints("web", host, port=port, port_name="tcp-main")
        text += one.replace("{name: web-", f"{{name: web-{port}-")
    return text + extra


def split(one: int, two: int) -> str:
    text = service("web", VIP, port=TCP) + service("one", port=TCP) + service("two", port=TCP)
    text += endpoints("web", PEER_V4, port=DEAD, port_name="tcp-main")
    text += endpoints("one", PEER_V4, port=ONE, port_name="tcp-main")
    text += endpoints("two", PEER_V4, port=TWO, port_name="tcp-main")
    return text + tcp_route("web", ("one", one), ("two", two))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder != Path("/") and folder != Path("/tmp"):
            folder.chmod(0o755)  # the proxy, which is not root, has to come by
    return tmp_path / "config.yaml"


def write(file: Path, text: str) -> None:
    """As tools do it: complete, then renamed."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


@contextlib.contextmanager
def proxy_with(lab: Lab, file: Path, text: str, *flags: str) -> Iterator[ProxyProcess]:
    write(file, text)
    with ProxyProcess(lab, "--log-format", "json", "--config", str(file), *flags) as proxy:
        yield proxy


def ask(lab: Lab, ip: str = VIP, port: int = 80) -> bytes:
    """Who answers; nothing when the connection is reset."""
    try:
        with dial(lab.app, ip, port) as client:
            word = client.recv(1)
            client.shutdown(socket.SHUT_WR)
            read_all(client)
            return word
    except ConnectionResetError:
        return b""


def keep_talking(client: socket.socket, seconds: float) -> None:
    """Never idle. Raises what ends the connection."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        client.sendall(b"x")
        assert client.recv(1)
        time.sleep(0.05)


def dump(proxy: ProxyProcess) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(proxy.request("/config_dump")[1])["configuration"]
    return found


def in_force(proxy: ProxyProcess, digest: str) -> str:
    """Waits until the policy is another one."""
    return str(until(lambda: (now := dump(proxy)["digest"]) != digest and now, "another policy in force"))


@pytest.mark.usefixtures("backends")
def test_a_service_is_reached_at_its_endpoints_and_named(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, web(ONE)) as proxy:
        assert ask(lab) == b"1"
        line = proxy.wait_logged()[0]
        assert (line["original_destination"], line["upstream"]) == (f"{VIP}:80", f"{PEER_V4}:{ONE}")
        assert (line["protocol"], line["lane"]) == ("tcp", "splice")
        assert "L4 policy only" in line["lane_reason"]
        assert "eBPF" in line["lane_reason"]
        labels = {
            "destination_service": "web.shop.svc.cluster.local",
            "destination_service_name": "web",
            "destination_service_namespace": "shop",
        }
        assert proxy.metric("istio_tcp_connections_opened_total", **labels) == 1
        assert proxy.metric("istio_tcp_connections_closed_total", **labels) == 1
        cluster = next(one for one in json.loads(proxy.request("/clusters")[1]) if one["type"] == "service")
        assert cluster["endpoints"] == [
            {"address": f"{PEER_V4}:{ONE}", "weight": 1, "connections_active": 0, "connections_total": 1,
             "connect_failures": 0}
        ]  # fmt: skip
        assert dump(proxy)["destinations"]["outbound"][0]["address"] == f"{VIP}:80"


@pytest.mark.usefixtures("backends")
def test_what_no_service_claims_is_passed_through(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, web(TWO)) as proxy:
        assert ask(lab, PEER_V4, ONE) == b"1"
        line = proxy.wait_logged()[0]
        assert line["upstream"] == f"{PEER_V4}:{ONE}"
        assert "no Service claims" in line["lane_reason"]


@pytest.mark.usefixtures("backends")
def test_both_families(lab: Lab, file: Path) -> None:
    text = web(ONE, spec=f"clusterIPs: [{VIP}, '{VIP6}'], ")
    with proxy_with(lab, file, text) as proxy:
        assert ask(lab, VIP6) == b"1"  # only IPv4 endpoints: better the other family than nobody
        digest = dump(proxy)["digest"]
        write(file, text + endpoints("web", PEER_V6, port=TWO, port_name="tcp-main"))
        in_force(proxy, digest)
        assert (ask(lab, VIP6), ask(lab, VIP)) == (b"2", b"1")


@pytest.mark.usefixtures("backends")
def test_weights_are_respected(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, split(80, 20)):
        count = Counter(ask(lab) for _ in range(400))
    # 80 % of 400 with a standard deviation of 8: five of them are one failure in a million runs.
    assert 280 <= count[b"1"] <= 360
    assert count[b"1"] + count[b"2"] == 400


@pytest.mark.usefixtures("backends")
def test_who_refuses_is_passed_over(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, web(ONE, DEAD)) as proxy:
        assert [ask(lab) for _ in range(40)] == [b"1"] * 40
        failures = proxy.metric("tidegate_upstream_retries_total", direction="outbound")
        assert 5 <= failures <= 35
        cluster = next(one for one in json.loads(proxy.request("/clusters")[1]) if one["type"] == "service")
        assert {one["address"]: one["connect_failures"] for one in cluster["endpoints"]} == {
            f"{PEER_V4}:{ONE}": 0, f"{PEER_V4}:{DEAD}": failures
        }  # fmt: skip
        assert cluster["connections_active"] == 0


@pytest.mark.usefixtures("backends")
def test_a_refusing_backend_of_a_split_falls_to_the_other(lab: Lab, file: Path) -> None:
    text = split(50, 50).replace(f"port: {TWO}", f"port: {DEAD}")
    with proxy_with(lab, file, text) as proxy:
        assert [ask(lab) for _ in range(20)] == [b"1"] * 20
        proxy.wait_logged(20)
        samples = proxy.metrics()
        for name in ("one", "two"):
            opened, closed = (
                sum(v for k, v in samples.items() if k.startswith(f"istio_tcp_connections_{what}_total{{")
                    and f'destination_service_name="{name}"' in k)
                for what in ("opened", "closed")
            )  # fmt: skip
            assert opened == closed, name
        failed = sum(
            v for k, v in samples.items() if k.startswith("tidegate_upstream_connect_failures_total{") and "||two." in k
        )
        assert failed > 0


@pytest.mark.usefixtures("backends")
def test_nobody_to_go_to_is_a_reset_with_its_reason(lab: Lab, file: Path) -> None:
    reasons = {
        "no-endpoints": web(ONE).replace(f"{{addresses: ['{PEER_V4}']}}", ""),
        "unresolved-backend": web(ONE, extra=tcp_route("web", ("gone", 1))),
        "upstream-refused": web(DEAD),
        "denied-source": web(ONE, extra=traffic_policy("web", "deniedSources: [10.0.0.0/24]")),
    }
    with proxy_with(lab, file, "") as proxy:
        digest = dump(proxy)["digest"]
        for number, (reason, text) in enumerate(reasons.items(), 1):
            write(file, text)
            digest = in_force(proxy, digest)
            assert ask(lab) == b"", reason
            line = proxy.wait_logged(number)[-1]
            assert line["close_reason"] == reason
            assert (line["upstream"] == "-") is (reason != "upstream-refused")
        assert json.loads(proxy.request("/connections")[1]) == []


@pytest.mark.usefixtures("backends")
def test_limits_of_connections_and_rates(lab: Lab, file: Path) -> None:
    limit = traffic_policy("web", "connectionPool: {tcp: {maxConnections: 2}}")
    with proxy_with(lab, file, web(ONE, extra=limit)) as proxy:
        with dial(lab.app, VIP, 80) as first, dial(lab.app, VIP, 80) as second:
            assert first.recv(1) == second.recv(1) == b"1"
            assert ask(lab) == b""
        assert until(lambda: ask(lab) == b"1", "a place to come free")
        assert {line["close_reason"] for line in proxy.wait_logged(4)} == {"finished", "max-connections"}
        digest = dump(proxy)["digest"]
        rate = traffic_policy("web", "connectionRateLimit: {connections: 1, interval: 1h, burst: 3}")
        write(file, web(ONE, extra=rate))
        in_force(proxy, digest)
        assert [ask(lab) for _ in range(5)] == [b"1"] * 3 + [b""] * 2


@pytest.mark.usefixtures("backends")
def test_timeouts_of_a_destination(lab: Lab, file: Path) -> None:
    lab.peer.run(
        ["nft", "-f", "-"],
        stdin=f"table inet hole {{ chain in {{ type filter hook input priority 0; tcp dport {DEAD} drop; }}; }}",
    )
    try:
        times = traffic_policy("web", "connectionPool: {tcp: {connectTimeout: 500ms, idleTimeout: 700ms}}")
        with proxy_with(lab, file, web(DEAD, extra=times)) as proxy:
            began = time.monotonic()
            assert ask(lab) == b""
            assert 0.4 < time.monotonic() - began < 3
            digest = dump(proxy)["digest"]
            write(file, web(ONE, extra=times))
            digest = in_force(proxy, digest)
            with dial(lab.app, VIP, 80) as client:
                assert client.recv(1) == b"1"
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
            write(file, web(ONE, extra=times.replace("idleTimeout", "maxConnectionDuration")))
            in_force(proxy, digest)
            with dial(lab.app, VIP, 80) as client, pytest.raises((ConnectionResetError, BrokenPipeError)):
                keep_talking(client, 10)
            assert [line["close_reason"] for line in proxy.wait_logged(3)] == [
                "upstream-timeout", "idle-timeout", "lifetime"
            ]  # fmt: skip
    finally:
        lab.peer.run(["nft", "delete", "table", "inet", "hole"])


@pytest.mark.usefixtures("backends")
def test_session_affinity(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, web(ONE, TWO, spec="sessionAffinity: ClientIP, ")):
        assert len({ask(lab) for _ in range(12)}) == 1


@pytest.mark.usefixtures("backends")
def test_a_change_moves_new_connections_and_leaves_open_ones(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, web(ONE)) as proxy, dial(lab.app, VIP, 80) as old:
        assert old.recv(1) == b"1"
        digest = dump(proxy)["digest"]
        began = time.monotonic()
        write(file, web(TWO))
        in_force(proxy, digest)
        assert time.monotonic() - began < 3
        assert ask(lab) == b"2"
        old.sendall(b"still here")
        assert old.recv(10) == b"still here"
        old.shutdown(socket.SHUT_WR)
        assert read_all(old) == b""
    assert {line["close_reason"] for line in proxy.access_log()} == {"finished"}


@pytest.mark.usefixtures("backends")
def test_bad_new_configuration_is_refused_whole(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, web(ONE)) as proxy:
        digest = dump(proxy)["digest"]
        for bad in (web(TWO).replace("port: 80", "port: 80x"), web(TWO) + "\n\t- x", web(TWO) + web(TWO)):
            write(file, bad)
            refused = until(lambda: dump(proxy)["refused"], "the refusal to show")
            assert refused["errors"][0].startswith(f"{file}:")
            assert (dump(proxy)["digest"], ask(lab)) == (digest, b"1")
            write(file, web(ONE))
            until(lambda: dump(proxy)["refused"] is None, "the good one to be taken")
        assert "is refused, the old one" in proxy.stderr()
        assert proxy.metric("tidegate_config_reloads_total", result="refused") >= 3
        file.unlink()
        until(lambda: dump(proxy)["refused"], "the refusal to show")
        assert ask(lab) == b"1"


@pytest.mark.usefixtures("backends")
def test_sighup_reads_again(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, web(ONE)) as proxy:
        loaded = dump(proxy)["loaded_at"]
        os.kill(proxy.pid, signal.SIGHUP)
        until(lambda: dump(proxy)["loaded_at"] > loaded, "another reading")
        assert "nothing changed" in until(lambda: "nothing changed" in proxy.stderr() and proxy.stderr(), "the log")


@pytest.mark.usefixtures("backends")
def test_a_config_maps_swap_under_load_loses_nothing(lab: Lab, file: Path) -> None:
    folder = file.parent / "mounted"
    folder.mkdir()

    def publish(number: int, text: str) -> None:
        data = folder / f"..v{number}"
        data.mkdir()
        (data / "web.yaml").write_text(text)
        (folder / "..data_tmp").symlink_to(data.name)
        (folder / "..data_tmp").rename(folder / "..data")

    publish(0, web(ONE))
    (folder / "web.yaml").symlink_to("..data/web.yaml")
    answers: list[bytes] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            answers.append(ask(lab))

    with ProxyProcess(lab, "--log-format", "json", "--config", str(folder)) as proxy:
        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for number in range(1, 11):
                digest = dump(proxy)["digest"]
                publish(number, web(TWO if number % 2 else ONE))
                in_force(proxy, digest)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert set(answers) == {b"1", b"2"}
        assert proxy.metric("tidegate_config_reloads_total", result="refused") == 0
        assert ask(lab) == b"1"


def test_bad_configuration_at_the_start_opens_nothing(lab: Lab, file: Path) -> None:
    import subprocess
    import sys

    write(file, web(ONE).replace(VIP, "10.0.0.300"))
    argv = [sys.executable, "-P", "-m", "tidegate", "proxy", "--config", str(file)]
    done = lab.app.run(argv, check=False, timeout=20)
    assert isinstance(done, subprocess.CompletedProcess)
    assert done.returncode == 2
    assert "'10.0.0.300' is not valid" in done.stderr
    assert f"{file}:" in done.stderr


@pytest.mark.usefixtures("backends")
def test_what_only_root_may_read_serves_but_says_that_it_can_not_be_read_again(lab: Lab, file: Path) -> None:
    write(file, web(ONE))
    file.chmod(0o600)
    with ProxyProcess(lab, "--config", str(file)) as proxy:
        assert ask(lab) == b"1"
        until(lambda: "can't be read by uid 1337" in proxy.stderr(), "the warning")
        os.kill(proxy.pid, signal.SIGHUP)
        until(lambda: dump(proxy)["refused"], "the refusal")
        assert ask(lab) == b"1"


@pytest.mark.usefixtures("backends")
def test_inbound_connections_are_the_services_too(lab: Lab, file: Path) -> None:
    text = service("app", "10.0.0.82", port=TCP) + endpoints("app", "10.0.0.2", port=8080, port_name="tcp-main")
    text += traffic_policy("app", "deniedSources: [10.0.0.1/32]", name="deny")
    with Server(lab.app, "10.0.0.2", 8080, says(b"a")), proxy_with(lab, file, text.split("\n---\n")[1]) as proxy:
        with dial(lab.peer, "10.0.0.2", 8080) as client:
            assert client.recv(1) == b"a"
        digest = dump(proxy)["digest"]
        write(file, text.rpartition("\n---\n")[0])
        digest = in_force(proxy, digest)
        with dial(lab.peer, "10.0.0.2", 8080) as client:
            assert client.recv(1) == b"a"
        assert (
            proxy.metric("istio_tcp_connections_opened_total", reporter="destination", destination_service_name="app")
            == 1
        )
        write(file, text)
        in_force(proxy, digest)
        with pytest.raises(ConnectionResetError), dial(lab.peer, "10.0.0.2", 8080) as client:
            client.recv(1)
        until(lambda: proxy.access_log()[-1]["close_reason"] == "denied-source", "the refusal in the log")


def test_a_signal_right_after_ready_is_not_lost(lab: Lab, file: Path) -> None:
    """The loop must not stand still between telling that it is ready and serving."""
    import subprocess
    import sys

    write(file, web(ONE))
    for _ in range(4):
        argv = [sys.executable, "-P", "-m", "tidegate", "proxy", "--config", str(file)]
        with lab.app.popen(argv, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
            assert process.stderr is not None
            try:
                assert any(" ready: " in line for line in iter(process.stderr.readline, ""))
                process.terminate()
                assert process.wait(10) == 0
                until(lambda: not lab.app.processes(), "its companion to be gone as well")
            finally:
                process.kill()
