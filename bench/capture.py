"""What capture costs: putting it in force, and each connection through it. `python -m bench.capture [--quick]`.

Everything happens in namespaces made here, on a veth pair with no way out. Backends are measured in turns within one
run, so that whatever else the machine does hits all alike; compare the ratios, not the milliseconds.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from demo.network import PEER4, Network, inside, ip

TIDEGATE = str(Path(sys.executable).with_name("tidegate"))
RESULTS = Path(__file__).parent / "results"
LISTENER = 15001
ROUNDS = 5
PORTS = range(2000, 2064)
CLIENT_UID = 1000
ENOTSUPP = 524  # the kernel's own; errno has no name for it

SERVER = """
import socket, sys
port = int(sys.argv[1])
with socket.create_server(("0.0.0.0", port), backlog=4096) as server:
    print("up", flush=True)
    while True:
        server.accept()[0].close()
"""

CLIENT = f"""
import os, socket, sys, time
count, ports = int(sys.argv[1]), range({PORTS.start}, {PORTS.stop})
os.setgid({CLIENT_UID}); os.setuid({CLIENT_UID})
began = time.perf_counter()
for n in range(count):
    with socket.socket() as client:
        client.connect(("{PEER4}", ports[n % len(ports)]))
        client.recv(1)
print(time.perf_counter() - began)
"""


def tidegate(network: Network, *words: str) -> float:
    """Run a command in the app's namespace; wall seconds."""
    began = time.perf_counter()
    subprocess.run([TIDEGATE, *words, "--netns", network.app], check=True, capture_output=True)
    return time.perf_counter() - began


def conntrack(network: Network) -> int:
    count = inside(network.app, "cat", "/proc/sys/net/netfilter/nf_conntrack_count")
    return int(subprocess.run(count, check=True, capture_output=True, text=True).stdout)


def connect(network: Network, count: int) -> float:
    """Open and close `count` connections to the peer; seconds for each."""
    done = subprocess.run(
        inside(network.app, "/usr/bin/python3", "-c", CLIENT, str(count)), check=True, capture_output=True, text=True
    )
    return float(done.stdout) / count


def map_sizes() -> dict[str, int]:
    """Entries in each map of ours that is pinned, by name."""
    from cext.libbpf import libbpf

    sizes = {}
    for path in Path("/sys/fs/bpf/tidegate").rglob("maps/tg_*"):
        fd = libbpf.get_pinned(path)
        try:
            # A ring buffer has no keys.
            if key_size := libbpf.map_info(fd).key_size:
                sizes[path.name] = len(libbpf.map_keys(fd, key_size))
        except libbpf.BpfError as refused:
            # Socket storage lives and dies with its socket and has no list of keys.
            if refused.errno != ENOTSUPP:
                raise
        finally:
            os.close(fd)
    return sizes


def init_times(network: Network, modes: list[str], times: int) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {mode: [] for mode in modes}
    for mode in modes:  # warm the caches
        tidegate(network, "init", "--mode", mode)
        tidegate(network, "cleanup")
    for _ in range(times):
        for mode in modes:
            taken[mode].append(tidegate(network, "init", "--mode", mode))
            tidegate(network, "cleanup")
    return taken


def connection_times(network: Network, modes: list[str], rounds: int, count: int) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {mode: [] for mode in modes}
    for _ in range(rounds):
        for mode in modes:
            tidegate(network, "init", "--mode", mode)
            connect(network, 200)
            taken[mode].append(connect(network, count))
            tidegate(network, "cleanup")
    return taken


def with_listener(network: Network, measure: Callable[[], None]) -> None:
    server = subprocess.Popen(
        inside(network.app, "/usr/bin/python3", "-c", SERVER, str(LISTENER)), stdout=subprocess.PIPE
    )
    try:
        if server.stdout is not None:
            server.stdout.readline()
        measure()
    finally:
        server.kill()
        server.communicate()


def main() -> int:
    quick = "--quick" in sys.argv
    results: dict[str, object] = {}
    with Network() as network:
        # Short connections would otherwise run out of ports: this is about set-up, not about TIME_WAIT.
        ip("netns", "exec", network.app, "sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65000")
        modes = ["nftables", "iptables", "tproxy", "ebpf"]
        results["init_ms"] = summary(init_times(network, modes, 3 if quick else 10), 1000)

        def connections() -> None:
            taken = connection_times(network, ["nftables", "iptables", "ebpf"], 1 if quick else ROUNDS, 2000)
            results["connect_us"] = summary(taken, 1e6)
            ratios = [e / n for e, n in zip(taken["ebpf"], taken["nftables"], strict=True)]
            results["connect_ebpf_to_nftables"] = round(statistics.median(ratios), 3)
            tidegate(network, "init", "--mode", "ebpf")
            subprocess.run(inside(network.app, "conntrack", "-F"), check=False, capture_output=True)
            before, entries = map_sizes(), conntrack(network)
            many = 5_000 if quick else 100_000
            connect(network, many)
            time.sleep(1)
            after = map_sizes()
            results["ebpf_conntrack_entries"] = conntrack(network) - entries
            results["ebpf_maps_after"] = {
                "connections": many,
                "unchanged": before == after,
                "entries": sum(after.values()),
            }

        with_listener(network, connections)
        tidegate(network, "cleanup")
    results["machine"] = {"kernel": os.uname().release, "cores": os.cpu_count(), "python": sys.version.split()[0]}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "capture.json").write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))
    return 0


def summary(taken: dict[str, list[float]], unit: float) -> dict[str, dict[str, float]]:
    return {
        mode: {
            "median": round(statistics.median(values) * unit, 1),
            "min": round(min(values) * unit, 1),
            "max": round(max(values) * unit, 1),
        }
        for mode, values in taken.items()
    }


if __name__ == "__main__":
    sys.exit(main())
