"""docs/reliability.md, from what was seen. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from scripts.faults.model import Fault, Seen

HEAD = """\
# Reliability

After this page you know what tidegate does when something breaks: what is promised for each fault, what was seen when
it was injected for real, and how soon new connections worked again. `make faults` injects all of them, in throwaway
network namespaces, and writes this page; `make test` injects those that are marked so.

Seen on Linux {kernel}, {cpus} processors. *Recovered* counts from the fault's end, or from the fault itself where it
has no end of its own; a dash: new connections worked all the time, or need somebody, as the promise says.
"""

TAIL = """
## Short connections to one destination
A connection that this side closes keeps its port towards that destination for a minute (TIME_WAIT). connect() looks
for a port among the even half of the usual 28,232 first. When those are used up, it looks at each of them before it
takes an odd one, which cost 5 to 30 ms a connection here. Measured with one client that makes one connection after the
other and closes each itself:

| | connections before that search begins | whose connect() it slows |
|---|---|---|
| without capture | 14,000 | the workload's |
| nftables | 7,000 | the workload's and the proxy's |
| ebpf | 14,000 | the proxy's |
| nftables, `net.ipv4.tcp_tw_reuse=1` | none among 8,500 | |

Where rules redirect, the workload's own connection keeps its name towards the destination, and the proxy's goes there
from the same address: both draw on the same ports. In ebpf mode the workload's goes to a loopback address instead. What
helps, in this order: connections that are kept open (towards a Service the proxy keeps them), ebpf mode,
`net.ipv4.tcp_tw_reuse=1` or a wider `net.ipv4.ip_local_port_range` in the sidecar's network namespace.

## An hour of churn
`make faults` mixes changes for 20 seconds; `TIDEGATE_CHURN_S=3600 python -m scripts.faults mixed_churn` does so for an
hour, and `make soak` makes a million connections. Each looks at what is left over.
"""


def page(found: Mapping[str, Seen | str], faults: Mapping[str, Fault], kernel: str, cpus: int) -> str:
    """found: what was seen, or how the promise was broken."""
    parts = [HEAD.format(kernel=kernel, cpus=cpus)]
    for area in dict.fromkeys(one.area for one in faults.values()):
        rows = [_row(faults[name], seen) for name, seen in found.items() if faults[name].area == area]
        parts.append(
            f"\n## {area.capitalize()}\n"
            "| fault | promised | seen | recovered | in `make test` |\n|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
        )
    return "".join(parts) + TAIL


def _row(one: Fault, seen: Seen | str) -> str:
    if isinstance(seen, str):
        text, recovered = f"**not as promised**: {seen}", ""
    else:
        text, recovered = seen.text, _seconds(seen.recovered_s)
    cells = (one.name, one.promise, text, recovered, "yes" if one.short else "")
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
