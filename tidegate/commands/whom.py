"""Which proxies a command that looks at running ones asks: by admin address, by enrolment, or all of this host."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import click

from tidegate.admin import DEFAULT

F = TypeVar("F", bound=Callable[..., Any])


class Whom(NamedTuple):
    """name: what is shown of it where several are asked. netns: where its admin address is; None: here."""

    name: str
    admin: str
    netns: str | None


def whom_options(command: F) -> F:
    for option in (
        click.option("--all", "everything", is_flag=True, help="every enrolment of this host, and the proxy here"),
        click.option("--enrolment", metavar="NAME", help="the proxy of an enrolment; `tidegate ls` shows them"),
        click.option("--netns", metavar="NAME|PATH", help="work in that network namespace  [own]"),
        click.option("--admin", metavar="ADDR", help=f"the proxy's admin address  [{DEFAULT}]"),
    ):
        command = option(command)
    return command


def asked(given: dict[str, Any]) -> list[Whom]:
    """Takes the options out of click's keywords. Raises BadInput where they contradict each other or mean nothing."""
    from intercept.errors import BadInput
    from onboard.enroll import registry

    admin, netns = given.pop("admin"), given.pop("netns")
    enrolment, everything = given.pop("enrolment"), given.pop("everything")
    if sum((everything, enrolment is not None, admin is not None or netns is not None)) > 1:
        raise BadInput("--all, --enrolment", "with others", "one of --all, --enrolment NAME, and --admin with --netns")
    here = Whom("here", admin or DEFAULT, netns)
    if not everything and enrolment is None:
        return [here]
    found = [Whom(one.name, one.admin, one.netns) for one in registry.every() if one.lives and one.admin]
    if everything:
        return [here, *found]
    chosen = [one for one in found if one.name == enrolment]
    if not chosen:
        names = ", ".join(one.name for one in found) or "none at the moment"
        raise BadInput("--enrolment", enrolment, f"one of those that `tidegate ls` shows: {names}")
    return chosen
