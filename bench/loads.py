"""The loads, and what each measures. Every one is bounded in time and runs in the pod of the world that it is given."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.accounting import Cpu, cpu, session_memory_bytes
from bench.processes import BenchError, Program, run
from bench.world import ADDRESSES, BODY_BYTES, BULK_ADDRESS, BULK_PORT, HTTP_PORT, World
from demo.network import inside

CONNECTIONS = 32
PATIENCE_S = 15.0
SETTLE_S = 0.3
MAX_ERROR_SHARE = 0.001
"""Of the answers: with more, a figure would be of something else. Fewer are counted, and stand on the page."""
GIB = 1 << 30
SCRIPT = Path(__file__).with_name("wrk.lua")
HOLDER = Path(__file__).with_name("holder.py")
_PORT_QUESTION = f"""
import http.client, sys
for address in sys.argv[1:]:
    client = http.client.HTTPConnection(address, {HTTP_PORT}, timeout=5)
    client.request("GET", "/port")
    print(client.sock.getsockname()[1], client.getresponse().read().decode())
    client.close()
"""
Figures = dict[str, float]


def check_path(where: World, *, proxied: bool) -> None:
    """Raises BenchError unless connections to all addresses go through a proxy, or none does: a capture that quietly
    doesn't capture would win every comparison."""
    # Each is asked twice: a proxy's port may be the client's by chance, but not both times.
    asked = ["/usr/bin/python3", "-c", _PORT_QUESTION, *ADDRESSES, *ADDRESSES]
    pairs = [line.split() for line in run(where.pod, asked, PATIENCE_S).splitlines()]
    same = [ours == seen for ours, seen in pairs]
    direct = [first and second for first, second in zip(same[: len(ADDRESSES)], same[len(ADDRESSES) :], strict=True)]
    wrong = [address for address, one in zip(ADDRESSES, direct, strict=True) if one == proxied]
    if wrong:
        raise BenchError(f"{'not ' * proxied}through a proxy, unlike what is to be measured: {', '.join(wrong)}")


def check_worked(figures: Figures) -> None:
    """Raises BenchError when the proxy, said to be in the path, had no work: then this load did not go through it."""
    idle = [name for name, value in figures.items() if "_proxy_us_per_" in name and value == 0]
    if idle:
        raise BenchError(f"the proxy used no CPU time at all: {', '.join(idle)}")


def bulk(where: World, proxy: Program | None, seconds: int, streams: int) -> Figures:
    """iperf3 from the pod to the service."""
    argv = ["iperf3", "-c", BULK_ADDRESS, "-p", str(BULK_PORT), "-t", str(seconds), "-P", str(streams), "-J"]
    text, used = measured(proxy, lambda: run(where.pod, argv, seconds + PATIENCE_S))
    received = json.loads(text)["end"]["sum_received"]
    if received["bytes"] <= 0:
        raise BenchError("iperf3 delivered nothing")
    return {
        f"bulk{streams}_gbit_s": received["bits_per_second"] / 1e9,
        **costs(used, received["bytes"] / GIB, f"bulk{streams}", "gib"),
    }


def keepalive(where: World, proxy: Program | None, seconds: int) -> Figures:
    """wrk over connections that stay open."""
    result, used = _wrk(where, proxy, seconds, "keep")
    return {
        "keepalive_rps": result["requests"] / result["duration_us"] * 1e6,
        "keepalive_p50_us": result["p50_us"],
        "keepalive_p99_us": result["p99_us"],
        "keepalive_errors": sum(result["errors"].values()),
        **costs(used, result["requests"], "keepalive", "request"),
    }


def short(where: World, proxy: Program | None, seconds: int) -> Figures:
    """wrk with a connection for each request, spread over all addresses of the service."""
    result, used = _wrk(where, proxy, seconds, "close")
    return {
        "short_conn_s": result["requests"] / result["duration_us"] * 1e6,
        "short_errors": sum(result["errors"].values()),
        **costs(used, result["requests"], "short", "connection"),
    }


def memory(where: World, proxy: Program | None, counts: tuple[int, ...]) -> Figures:
    """The proxy's memory idle and holding idle connections, in ascending numbers; what each costs is told of the most.

    Nothing, where there is no proxy.
    """
    if proxy is None:
        return {}
    found: Figures = {"memory_idle_bytes": session_memory_bytes(proxy.session)}
    argv = [sys.executable, str(HOLDER), str(HTTP_PORT), str(BODY_BYTES), *ADDRESSES]
    with subprocess.Popen(
        inside(where.pod, *argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as holder:
        try:
            for count in counts:
                _hold(holder, count)
                time.sleep(SETTLE_S)
                held = session_memory_bytes(proxy.session)
                found["memory_most_bytes" if count == counts[-1] else f"memory_{count}_bytes"] = held
                found["memory_each_bytes"] = (held - found["memory_idle_bytes"]) / count
        finally:
            holder.kill()
    return found


def _hold(holder: "subprocess.Popen[str]", count: int) -> None:
    if holder.stdin is None or holder.stdout is None or holder.stderr is None:
        raise BenchError("the holder of connections was started without pipes")
    with contextlib.suppress(BrokenPipeError):  # it has ended, and has said why
        holder.stdin.write(f"{count}\n")
        holder.stdin.flush()
    if holder.stdout.readline() != f"{count}\n":
        raise BenchError(f"{count} idle connections: {holder.stderr.read()[-1000:]}")


def _wrk(where: World, proxy: Program | None, seconds: int, manner: str) -> tuple[dict[str, Any], Cpu]:
    argv = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "5s", "-s", str(SCRIPT)]
    argv += [f"http://{ADDRESSES[0]}:{HTTP_PORT}/", "--", manner, *ADDRESSES]
    text, used = measured(proxy, lambda: run(where.pod, argv, seconds + PATIENCE_S))
    return wrk_result(text), used


def wrk_result(text: str) -> dict[str, Any]:
    """What wrk.lua reports. Raises BenchError when there is none, or when too much of it failed to be a figure."""
    for line in text.splitlines():
        if line.startswith("RESULT "):
            result: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
            failed = sum(result["errors"].values())
            if failed > MAX_ERROR_SHARE * result["requests"] or not result["requests"]:
                raise BenchError(f"wrk: {result['requests']} answers, and errors {result['errors']}")
            return result
    raise BenchError(f"wrk reported nothing: {text[-500:]}")


def measured(proxy: Program | None, work: Callable[[], str]) -> tuple[str, Cpu]:
    session = None if proxy is None else proxy.session
    before = cpu(session)
    text = work()
    used = cpu(session).since(before)
    if proxy is not None and not proxy.alive():
        raise BenchError(f"the proxy ended during the load: {proxy.said()}")
    return text, used


def costs(used: Cpu, amount: float, load: str, unit: str) -> Figures:
    """CPU microseconds a unit of work: the proxy's, and the machine's."""
    return {
        f"{load}_proxy_us_per_{unit}": used.proxy_s * 1e6 / amount,
        f"{load}_machine_us_per_{unit}": used.machine_s * 1e6 / amount,
    }
