"""`tidegate check`: does the capture that is in force work."""

import json

import click

from tidegate.commands.options import json_option, netns_option


@click.command()
@netns_option
@json_option
def check(netns: str | None, as_json: bool) -> int:
    """Probe the live capture path end to end, whether a proxy listens or not. Ends with 1 when a probe fails."""
    from intercept.check.check import check as probe_all
    from tidegate.netns import enter

    enter(netns)
    probes = probe_all()
    ok = all(probe.ok for probe in probes)
    if as_json:
        click.echo(json.dumps({"ok": ok, "probes": [probe.as_dict() for probe in probes]}))
    else:
        for probe in probes:
            click.echo(f"{'ok    ' if probe.ok else 'FAILED'}  {probe.name}: {probe.detail}")
    return 0 if ok else 1
