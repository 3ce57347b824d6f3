"""`tidegate status`: what is in force."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from tidegate import hints
from tidegate.commands.options import json_option, netns_option
from tidegate.rows import Row, show

if TYPE_CHECKING:
    from intercept.existing import Existing
    from intercept.status import Status

_TONES = {"proxied": "good", "refused": "bad", "direct": "bad"}


@click.command()
@netns_option
@click.option("--existing", is_flag=True, help="list connections from before capture, which go past the proxy")
@json_option
def status(netns: str | None, existing: bool, as_json: bool) -> int:
    """Tell what is in force in this network namespace, who listens, and what new connections get at this moment.

    Ends with 1 when what is in force is not as tidegate left it.
    """
    from intercept.status import status as read_status
    from tidegate.netns import enter

    enter(netns)
    found = read_status()
    older = None
    if existing:
        from tidegate.commands.existing import list_existing

        older = list_existing()
    if as_json:
        also = {} if older is None else {"existing": [one.as_dict() for one in older]}
        click.echo(json.dumps({**found.as_dict(), **also}))
    else:
        show(list(rows_of(found, older or [])))
    return 1 if found.drift else 0


def rows_of(found: "Status", older: "list[Existing]") -> Iterator[Row]:
    """The report for people: what is out of order first."""
    if not found.active:
        yield Row("capture", hints.hinted("no capture is in force here", hints.ABSENT))
    else:
        astray = [f"{name} {stop.now}" for name, stop in found.reach.items() if stop.missing]
        besides = f"; at this moment new connections are: {', '.join(astray)}" if astray else ""
        bad = bool(astray or found.drift)
        text = f"capture in force: {found.mode}{besides}"
        yield Row("capture", hints.hinted(text, hints.CHECK if bad else None), "bad" if bad else "good")
    yield from (Row("drift", hints.hinted(sentence, hints.DRIFTED), "bad") for sentence in found.drift)
    for name, stop in found.reach.items():
        hint = hints.NOT_HEARD if _TONES[stop.now] == "bad" else None
        yield Row(name, hints.hinted(f"{stop.now}: {stop.why}", hint), _TONES[stop.now])
    if found.active:
        yield Row("scope", _scope(found))
    if found.intent:
        yield Row("intent", _as_command_line(found))
    yield from (
        Row("not captured", hints.hinted(sentence, hints.LEFT_OUT), "doubtful") for sentence in found.not_captured
    )
    if found.conntrack is not None:
        yield Row("conntrack", f"{found.conntrack['count']} of {found.conntrack['max']} entries")
    yield from (Row("run", f"{name} captures for its command here") for name in found.runs)
    for one in older:
        row = one.as_dict()
        yield Row(
            "existing",
            hints.hinted(
                f"{row['direction']} {row['workload']} - {row['peer']} (uid {row['uid']}), past the proxy",
                hints.EXISTING,
            ),
        )


def _scope(found: "Status") -> str:
    families = found.scope.get("families")
    versions = " and ".join(f"IPv{version}" for version in families) if isinstance(families, list) else "unknown"
    folder = found.scope.get("cgroup")
    whom = f"processes of cgroup {folder}" if folder else "all processes"
    return f"{whom} of the network namespace {found.scope['netns']}, {versions}"


def _as_command_line(found: "Status") -> str:
    """The flags that differ from their defaults: `--json` has them all."""
    import shlex

    from intercept.intent.intent import Intent
    from intercept.plan.stored import as_flags

    usual = as_flags(Intent())
    words = []
    for name, value in found.intent.items():
        if value == usual.get(name):
            continue
        for one in value if isinstance(value, list) else [value]:
            words.append(f"--{name}" if one is True else f"--{name} {shlex.quote(str(one))}")
    return " ".join(words) or "no flags: the defaults"
