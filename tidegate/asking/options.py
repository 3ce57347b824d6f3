"""The options that say which running proxies a command asks; `tidegate.asking.whom` finds these."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from tidegate.admin import DEFAULT
from tidegate.asking.values import enrolments, runs

F = TypeVar("F", bound=Callable[..., Any])


def whom_options(command: F) -> F:
    """Of commands that may ask several proxies at once."""
    return click.option(
        "--all", "everything", is_flag=True, help="the proxy here, every enrolment and run of this host"
    )(one_of_them(command))


def one_of_them(command: F) -> F:
    """Of commands that ask one proxy."""
    for option in (
        click.option("--run", "run_name", metavar="PID", help="a `tidegate run`", shell_complete=runs),
        click.option(
            "--enrolment", metavar="NAME", help="of an enrolment that `tidegate ls` shows", shell_complete=enrolments
        ),
        click.option("--netns", metavar="NAME|PATH", help="work in that network namespace  [own]"),
        click.option("--admin", metavar="ADDR", help=f"the proxy's admin address  [{DEFAULT}]"),
    ):
        command = option(command)
    return command
