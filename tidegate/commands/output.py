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


def show_planned(planned: "Planned", as_json: bool, **also: object) -> None:
    """`also`: further keys of the JSON object."""
    click.echo(json.dumps({**planned.as_dict(), **also}) if as_json else planned.text, nl=as_json)
