"""The options that say which running proxies a command asks; `tidegate.asking.whom` finds these."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from tidegate.admin import DEFAULT
from tidegate.asking.values import enrolments, runs

F = TypeVar("F", bound=Callable[..., Any])


def whom_options(command: F) -> F:
    """Of commands that may ask several proxies at once."""
    return _all(one_of_them(command))


def whom_options_and_addresses(command: F) -> F:
    """Of commands that may also be given several admin addresses."""
    several = click.option(
        "--admin", metavar="ADDR", multiple=True, help=f"a proxy's admin address; may be repeated  [{DEFAULT}]"
    )
    return _all(_named(several(command)))


def one_of_them(command: F) -> F:
    """Of commands that ask one proxy."""
    return _named(click.option("--admin", metavar="ADDR", help=f"the proxy's admin address  [{DEFAULT}]")(command))


def _all(command: F) -> F:
    return click.option(
        "--all", "everything", is_flag=True, help="the proxy here, every enrolment and run of this host"
    )(command)


def _named(command: F) -> F:
    for option in (
        click.option("--run", "run_name", metavar="PID", help="a `tidegate run`", shell_complete=runs),
        click.option(
            "--enrolment", metavar="NAME", help="of an enrolment that `tidegate ls` shows", shell_complete=enrolments
        ),
        click.option("--netns", metavar="NAME|PATH", help="work in that network namespace  [own]"),
    ):
        command = option(command)
    return command
