"""The loads of HTTP."""

from bench.loads import PATIENCE_S, SCRIPT, Figures, costs, measured, wrk_result
from bench.processes import Program, run
from bench.world import ADDRESSES, BIG_BYTES, HTTP_PORT, World

GIB = 1 << 30


def requests(where: World, proxy: Program | None, seconds: int, connections: int) -> Figures:
    """wrk over so many connections that stay open, a page of 1 KiB."""
    argv = _wrk(seconds, connections, "/")
    text, used = measured(proxy, lambda: run(where.pod, argv, seconds + PATIENCE_S))
    result, load = wrk_result(text), f"requests{connections}"
    return {
        f"{load}_rps": result["requests"] / result["duration_us"] * 1e6,
        f"{load}_p50_us": result["p50_us"],
        f"{load}_p99_us": result["p99_us"],
        f"{load}_errors": sum(result["errors"].values()),
        **costs(used, result["requests"], load, "request"),
    }


def bodies(where: World, proxy: Program | None, seconds: int) -> Figures:
    """wrk over four connections, bodies of 1 MB."""
    text, used = measured(proxy, lambda: run(where.pod, _wrk(seconds, 4, "/big"), seconds + PATIENCE_S))
    result = wrk_result(text)
    count = result["requests"]
    return {
        "bodies_rps": count / result["duration_us"] * 1e6,
        "bodies_errors": sum(result["errors"].values()),
        **costs(used, count * BIG_BYTES / GIB, "bodies", "gib"),
    }


def _wrk(seconds: int, connections: int, path: str) -> list[str]:
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "5s", "-s", str(SCRIPT)]
    return ["wrk", *options, f"http://{ADDRESSES[0]}:{HTTP_PORT}{path}", "--", "keep"]
