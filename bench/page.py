"""docs/performance.md, from the template beside this file and a run's results. Pure but for reading the template."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from bench.plots import PLOTS
from bench.summary import Run, Spread, figure, ratio
from bench.targets import Judgement, judge

TEMPLATE = Path(__file__).with_name("performance.md.in")
NOTES = Path(__file__).with_name("limits.md")
CAPTURE = Path(__file__).parent / "results" / "capture.json"
BUSY_SHARE = 0.05
"""Of the machine, used by others before the run: above it the page warns."""
MIB = 1 << 20
NOT_MEASURED = "Not measured yet."
FULL_CAPTURE = 100_000
"""Connections of a full run of bench.capture."""

_TABLES: dict[str, tuple[tuple[str, str, float, str], ...]] = {
    "speed": (
        ("bulk1_gbit_s", "bulk, 1 stream, Gbit/s", 1, "{:.2f}"),
        ("bulk4_gbit_s", "bulk, 4 streams, Gbit/s", 1, "{:.2f}"),
        ("keepalive_rps", "requests/s", 1, "{:,.0f}"),
        ("keepalive_p50_us", "p50, µs", 1, "{:,.0f}"),
        ("keepalive_p99_us", "p99, µs", 1, "{:,.0f}"),
        ("short_conn_s", "connections/s", 1, "{:,.0f}"),
    ),
    "cost": (
        ("bulk1_proxy_us_per_gib", "proxy, ms/GiB", 1e-3, "{:,.0f}"),
        ("bulk1_machine_us_per_gib", "machine, ms/GiB", 1e-3, "{:,.0f}"),
        ("keepalive_proxy_us_per_request", "proxy, µs/request", 1, "{:.1f}"),
        ("keepalive_machine_us_per_request", "machine, µs/request", 1, "{:.1f}"),
        ("short_proxy_us_per_connection", "proxy, µs/connection", 1, "{:.1f}"),
        ("short_machine_us_per_connection", "machine, µs/connection", 1, "{:.1f}"),
    ),
    "memory": (
        ("memory_idle_bytes", "idle, MiB", 1 / MIB, "{:.1f}"),
        ("memory_1000_bytes", "1,000 connections, MiB", 1 / MIB, "{:.1f}"),
        ("memory_most_bytes", "the most connections, MiB", 1 / MIB, "{:.1f}"),
        ("memory_each_bytes", "each of the most, bytes", 1, "{:,.0f}"),
    ),
}
_RATIOS = tuple(tuple(key for key, _, _, _ in _TABLES[name]) for name in ("speed", "cost"))
_ERRORS = ("keepalive_errors", "short_errors")
_BASES = {"none": "no proxy", "haproxy": "HAProxy", "haproxy-splice": "HAProxy, splicing forced"}
_TITLES = {key: title for table in _TABLES.values() for key, title, _, _ in table}


def render(document: Mapping[str, Any], runs: Sequence[Run], plots: Sequence[str], results: Path, folder: Path) -> str:
    """The page as text. `folder`: where it will stand, for the links to the plots in `results`."""
    who = document["contestants"]
    where = os.path.relpath(results, folder)
    measured = document["date"] is not None
    return Template(TEMPLATE.read_text()).substitute(
        warning=_warning(document) if measured else "",
        machine=_machine(document) if measured else "**No full run is recorded yet.**",
        settings=_settings(document["settings"]) if measured else "",
        speed=_table(who, runs, "speed"),
        cost=_table(who, runs, "cost"),
        memory=_table(who, runs, "memory"),
        ratios=_ratios(who, runs),
        targets=_targets(who, runs),
        failures=_failures(document["failures"]) + _errors(who, runs) if measured else NOT_MEASURED,
        plots="\n\n".join(f"![{PLOTS[name][0]}]({where}/{name}.png)" for name in plots) or NOT_MEASURED,
        limits=NOTES.read_text().strip() if NOTES.exists() else "Nothing is recorded here yet.",
        capture=_capture(json.loads(CAPTURE.read_text())) if measured and CAPTURE.exists() else NOT_MEASURED,
    )


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(one: Spread | None, scale: float, form: str) -> str:
    if one is None:
        return "-"
    low, middle, high = (form.format(value * scale) for value in (one.low, one.median, one.high))
    return middle if low == high else f"{middle} ({low} to {high})"


def _table(who: Mapping[str, str], runs: Sequence[Run], name: str) -> str:
    columns = [column for column in _TABLES[name] if any(figure(runs, one, column[0]) for one in who)]
    rows = []
    for contestant, title in who.items():
        cells = [_cell(figure(runs, contestant, key), scale, form) for key, _, scale, form in columns]
        if any(cell != "-" for cell in cells):
            rows.append([title, *cells])
    return _rows(["", *(column[1] for column in columns)], rows) if rows else NOT_MEASURED


def _ratios(who: Mapping[str, str], runs: Sequence[Run]) -> str:
    bases = {base: title for base, title in _BASES.items() if any(run.contestant == base for run in runs)}
    return "\n\n".join(_ratio_table(who, runs, base, title) for base, title in bases.items()) or NOT_MEASURED


def _ratio_table(who: Mapping[str, str], runs: Sequence[Run], base: str, title: str) -> str:
    tables = [f"To {title}:"]
    for keys in _RATIOS:
        # Without a proxy there is no time of a proxy to compare with.
        known = [key for key in keys if any(ratio(runs, one, base, key) for one in who)]
        others = [one for one in who if one != base]
        rows = [[who[one], *(_cell(ratio(runs, one, base, key), 1, "{:.2f}") for key in known)] for one in others]
        tables.append(_rows(["", *(_TITLES[key] for key in known)], rows))
    return "\n\n".join(tables)


def _targets(who: Mapping[str, str], runs: Sequence[Run]) -> str:
    return _rows(["what", "promised", "of", "measured", ""], [_judgement(who, one) for one in judge(runs)])


def _judgement(who: Mapping[str, str], one: Judgement) -> list[str]:
    target = one.target
    bound = f"{'at least' if target.at_least else 'at most'} {target.bound:g}"
    against = "" if target.against is None else f" x {_BASES[target.against]}"
    verdict = {True: "met", False: "**not met**", None: "not measured"}[one.met]
    form = "{:.2f}" if target.against else "{:,.0f}"
    return [
        _TITLES[target.figure],
        bound + against,
        who.get(one.contestant, one.contestant),
        _cell(one.measured, 1, form),
        verdict,
    ]


def _machine(document: Mapping[str, Any]) -> str:
    machine = document["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    return "\n".join(
        f"* {line}"
        for line in (
            f"{document['date']}, tidegate {machine['tidegate']}",
            f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_mib']} MiB",
            f"{machine['system']}, kernel {machine['kernel']}",
            f"{versions}, Python {machine['python']}",
            f"others used {document['background_busy']:.1%} of the machine before the run",
        )
    )


def _settings(settings: Mapping[str, Any]) -> str:
    return (
        f"{settings['rounds_done']} rounds of {settings['rounds']}, {settings['seconds']} s a load,"
        f" {settings['threads']} thread a proxy, {settings['seconds_taken']} s in all; the most connections held:"
        f" {settings['memory_counts'][-1]:,}"
    )


def _warning(document: Mapping[str, Any]) -> str:
    if document["background_busy"] <= BUSY_SHARE:
        return ""
    return (
        f"**Others used {document['background_busy']:.0%} of the machine before this run began: its figures show that"
        " the harness works, and nothing else.**\n"
    )


def _failures(failures: Sequence[Mapping[str, Any]]) -> str:
    if not failures:
        return "Every contestant did every load in every round."
    lines = [f"* round {one['round'] + 1}, {one['contestant']}, {one['load']}: {one['error']}" for one in failures]
    return "These have no figures, and are in no median:\n\n" + "\n".join(line.replace("\n", " ") for line in lines)


def _errors(who: Mapping[str, str], runs: Sequence[Run]) -> str:
    """Connections and requests that failed within loads that are counted nevertheless."""
    found = {
        title: sum(int(run.figures.get(key, 0)) for run in runs if run.contestant == name for key in _ERRORS)
        for name, title in who.items()
    }
    lines = [f"* {title}: {count}" for title, count in found.items() if count]
    if not lines:
        return " No request and no connection failed within a load."
    return "\n\nRequests and connections that failed within loads, all rounds together:\n\n" + "\n".join(lines)


def _capture(found: Mapping[str, Any]) -> str:
    def row(name: str, form: str) -> list[list[str]]:
        return [
            [mode, *(form.format(one[key]) for key in ("median", "min", "max"))] for mode, one in found[name].items()
        ]

    head = ["median", "lowest", "highest"]
    entries = found["ebpf_maps_after"]
    quick = entries["connections"] < FULL_CAPTURE
    return "\n\n".join(
        (
            *(["**From a quick run, of one round.**"] if quick else []),
            _rows(["`init`, ms", *head], row("init_ms", "{:.0f}")),
            _rows(["connect and close, µs", *head], row("connect_us", "{:.0f}")),
            f"eBPF to nftables, of the same round: {found['connect_ebpf_to_nftables']:.2f}. Conntrack entries of"
            f" {entries['connections']:,} connections captured by eBPF: {found['ebpf_conntrack_entries']}; the maps are"
            f" {'as they were before' if entries['unchanged'] else '**not** as they were before'}.",
        )
    )
