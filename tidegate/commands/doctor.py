"""`tidegate doctor`: what this host offers, tried for real."""

import json
from collections.abc import Iterator
from typing import Any

import click

from tidegate import hints
from tidegate.commands.options import json_option, netns_option
from tidegate.rows import Row, show

_NO_MODE = 3


@click.command()
@netns_option
@click.option("--wait", metavar="S", default="30", help="seconds that trying may take before it counts as failed  [30]")
@json_option
def doctor(netns: str | None, wait: str, as_json: bool) -> int:
    """Try every backend and every hook here, take them away again, and say what `auto` would take and what is missing.

    Ends with 3 when no mode works.
    """
    from intercept.doctor.examine import examine
    from intercept.intent.from_flags import seconds
    from tidegate.netns import enter

    limit_s = seconds("--wait", wait)
    enter(netns)
    report = examine(limit_s)
    if as_json:
        click.echo(json.dumps(report))
    else:
        show(rows_of(report))
    return 0 if report["ok"] else _NO_MODE


def rows_of(report: dict[str, Any]) -> list[Row]:
    """The report for people. What works is said in one line, what doesn't with its reason."""
    kernel, auto = report["kernel"], report["auto"]
    why = hints.hinted(_one_line(auto["why"]), None if auto["mode"] else hints.NO_MODE)
    chosen = Row("auto", f"{auto['mode'] or 'nothing'}: {why}", "good" if auto["mode"] else "bad")
    rows = [Row("kernel", f"{kernel['release']} ({kernel['machine']})"), chosen]
    for mode in report["modes"]:
        reason = mode["reason"] or "no reason given"
        hint = hints.of_mode(mode["mode"], reason)
        rows.append(_tried("mode", f"{mode['mode']:<10}", mode["works"], reason, hint))
    working = [hook["hook"] for hook in report["hooks"] if hook["works"]]
    if working:
        rows.append(Row("hooks", f"{', '.join(working)}: ok", "good"))
    for hook in report["hooks"]:
        if not hook["works"]:
            rows.append(_tried("hook", hook["hook"], False, f"{hook['reason']} (Linux {hook['since']})", hints.HOOK))
    for feature in report["features"]:
        if not feature["works"]:
            text = f"{feature['name']} (Linux {feature['since']}): {feature['without']}"
            rows.append(Row("without", hints.hinted(text, hints.FEATURE), "doubtful"))
    rows += _settings(report)
    rows += [Row("beside us", f"{one['tool']}: {', '.join(one['chains'][:4])}") for one in _neighbours(report, "rules")]
    rows += [Row("beside us", f"BPF {one['program']} on {one['hook']}") for one in _neighbours(report, "programs")]
    rows += [Row("untried", hints.hinted(line, hints.UNTRIED), "doubtful") for line in report["untried"]]
    rows += [Row("advice", hints.hinted(line, hints.ADVICE), "doubtful") for line in report["advice"]]
    return rows


def _settings(report: dict[str, Any]) -> Iterator[Row]:
    cgroup, settings, files = report["cgroup"], report["settings"], report["limits"]["nofile"]
    yield Row("cgroup", cgroup["layout"] + (f" at {cgroup['mount_point']}" if cgroup["mount_point"] else ""))
    yield Row("bpffs", report["bpffs"] or "not mounted")
    conntrack = settings["conntrack"]
    if conntrack["max"] is not None:
        yield Row("conntrack", f"{conntrack['count']} of {conntrack['max']} entries")
    if settings["ip_local_port_range"]:
        yield Row("ports", "{}-{} for local use".format(*settings["ip_local_port_range"]))
    yield Row("files", f"{files[0]}, at most {files[1]}")
    yield Row("ipv6", report["network"]["ipv6_missing"] or "ok")


def _neighbours(report: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = report["neighbours"][kind] or []
    return found


def _tried(kind: str, name: str, works: bool, reason: str, hint: str) -> Row:
    verdict = "ok" if works else "no: " + hints.hinted(_one_line(reason), hint)
    return Row(kind, f"{name} {verdict}", "good" if works else "bad")


def _one_line(text: str) -> str:
    return " ".join(text.split())
