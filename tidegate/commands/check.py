"""`tidegate check`: does the capture that is in force work."""

import json
from typing import TYPE_CHECKING

import click

from tidegate import hints
from tidegate.commands.options import json_option, netns_option
from tidegate.rows import Row, show

if TYPE_CHECKING:
    from intercept.check.checker import Probe


@click.command()
@netns_option
@click.option("--stand-in", is_flag=True, help="where nobody listens, listen ourselves while the check lasts")
@json_option
def check(netns: str | None, stand_in: bool, as_json: bool) -> int:
    """Probe the live capture path end to end. Ends with 1 when a probe fails, or when nobody listens.

    With --stand-in it checks the rules alone: no proxy has to run.
    """
    from intercept.check.check import check as probe_all
    from tidegate.netns import enter

    enter(netns)
    probes = probe_all(stand_in=stand_in)
    ok = all(probe.ok for probe in probes)
    if as_json:
        click.echo(json.dumps({"ok": ok, "probes": [probe.as_dict() for probe in probes]}))
    else:
        show([_row(probe) for probe in probes])
    return 0 if ok else 1


def _row(probe: "Probe") -> Row:
    if probe.ok:
        return Row(probe.name, f"ok: {probe.detail}", "good")
    return Row(probe.name, hints.hinted(f"FAILED: {probe.detail}", hints.of_probe(probe.name, probe.detail)), "bad")
