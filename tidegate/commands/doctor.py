"""`tidegate doctor`: what this host offers, tried for real."""

import json
from typing import Any

import click

from tidegate.commands.options import json_option, netns_option

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
        for line in lines_of(report):
            click.echo(line)
    return 0 if report["ok"] else _NO_MODE


def lines_of(report: dict[str, Any]) -> list[str]:
    """The report for people. What works is said in one line, what doesn't with its reason."""
    kernel, cgroup, settings = report["kernel"], report["cgroup"], report["settings"]
    auto = report["auto"]
    lines = [
        f"kernel     {kernel['release']} ({kernel['machine']})",
        f"auto       {auto['mode'] or 'nothing'}: {_one_line(auto['why'])}",
    ]
    lines += [_row("mode", mode["mode"], mode["works"], mode["reason"]) for mode in report["modes"]]
    working = [hook["hook"] for hook in report["hooks"] if hook["works"]]
    if working:
        lines.append(f"hooks      {', '.join(working)}: ok")
    for hook in report["hooks"]:
        if not hook["works"]:
            lines.append(_row("hook", hook["hook"], False, f"{hook['reason']} (Linux {hook['since']})"))
    for feature in report["features"]:
        if not feature["works"]:
            lines.append(f"without    {feature['name']} (Linux {feature['since']}): {feature['without']}")
    lines.append(f"cgroup     {cgroup['layout']}" + (f" at {cgroup['mount_point']}" if cgroup["mount_point"] else ""))
    lines.append(f"bpffs      {report['bpffs'] or 'not mounted'}")
    conntrack = settings["conntrack"]
    if conntrack["max"] is not None:
        lines.append(f"conntrack  {conntrack['count']} of {conntrack['max']}")
    if settings["ip_local_port_range"]:
        lines.append("ports      {}-{} for local use".format(*settings["ip_local_port_range"]))
    lines.append(f"files      {report['limits']['nofile'][0]}, at most {report['limits']['nofile'][1]}")
    lines.append(f"ipv6       {report['network']['ipv6_missing'] or 'ok'}")
    lines += [f"beside us  {found['tool']}: {', '.join(found['chains'][:4])}" for found in _neighbours(report, "rules")]
    lines += [f"beside us  BPF {found['program']} on {found['hook']}" for found in _neighbours(report, "programs")]
    lines += [f"untried    {line}" for line in report["untried"]]
    lines += [f"advice     {line}" for line in report["advice"]]
    return lines


def _neighbours(report: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = report["neighbours"][kind] or []
    return found


def _row(kind: str, name: str, works: bool, reason: str | None) -> str:
    return f"{kind:<10} {name:<13} {'ok' if works else 'no: ' + _one_line(reason or 'no reason given')}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
