"""`tidegate init`: put capture in force, then exit."""

import json
from typing import Any

import click

from tidegate.capture_options import intent_of, intent_options, json_option, netns_option, raw_flags, wait_option


@click.command()
@intent_options
@netns_option
@wait_option
@click.option("--dry-run", is_flag=True, help="print the exact plan, change nothing; needs no privilege")
@json_option
def init(netns: str | None, wait: str, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Put capture in force in this network namespace, then exit.

    Applying the same again changes nothing; applying something else replaces it in one step.
    """
    from intercept import capture
    from intercept.from_flags import seconds

    intent = intent_of(raw_flags(given))
    wait_s = seconds("--wait", wait)
    if netns is not None:
        from tidegate.netns import enter

        enter(netns)
    if dry_run:
        _print_plan(capture.dry_run(intent), as_json)
        return
    applied = capture.apply(intent, wait_s=wait_s)
    for warning in applied.warnings:
        click.echo(f"tidegate: {warning}", err=True)
    if as_json:
        click.echo(json.dumps(applied.as_dict()))
        return
    click.echo(f"capture in force: {applied.mode} ({applied.why})" + ("" if applied.changed else "; nothing to change"))
    for left_out in applied.not_captured:
        click.echo(f"not captured: {left_out}")


def _print_plan(planned: Any, as_json: bool) -> None:
    click.echo(json.dumps(planned.as_dict()) if as_json else planned.text, nl=as_json)
