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
## Not injected here
* *conntrack full*: its size belongs to the whole machine. ebpf mode makes no entries; in the others the kernel drops
  new connections, and says `nf_conntrack: table full` in its log.
* *Reordered packets*: this kernel has no netem. TCP puts them in order before anybody sees them; loss is injected.
* *An hour of mixed churn*: `make soak` makes a million connections and looks at what they leave.
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
