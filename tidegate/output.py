"""What `init` prints: what is in force now, or the plan of a dry run."""

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from intercept.results import Applied, Planned


def warn(warnings: list[str] | tuple[str, ...]) -> None:
    for warning in warnings:
        click.echo(f"tidegate: {warning}", err=True)


def show_applied(applied: "Applied", as_json: bool, **also: object) -> None:
    """`also`: further keys of the JSON object."""
    if as_json:
        click.echo(json.dumps({**applied.as_dict(), **also}))
        return
    click.echo(f"capture in force: {applied.mode} ({applied.why})" + ("" if applied.changed else "; nothing to change"))
    for left_out in applied.not_captured:
        click.echo(f"not captured: {left_out}")
    for sentence in _going_past(applied):
        click.echo(sentence)


def _going_past(applied: "Applied") -> list[str]:
    """With `--when-down open`: what goes past a proxy that does not listen yet. Said here too, for nothing else shows
    it; where connections are refused meanwhile, they show it themselves."""
    from intercept.intent.intent import WhenDown

    if applied.plan.intent.when_down is not WhenDown.OPEN:
        return []
    from intercept.host.facts import read_host
    from intercept.reach import reach_without_owners

    reach = reach_without_owners(applied.plan, read_host())
    return [f"{name} at this moment: {stop.why}" for name, stop in reach.items() if stop.missing]


def show_planned(planned: "Planned", as_json: bool, **also: object) -> None:
    """`also`: further keys of the JSON object."""
    click.echo(json.dumps({**planned.as_dict(), **also}) if as_json else planned.text, nl=as_json)
