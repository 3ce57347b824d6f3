"""`tidegate top`: what goes through proxies, by service, route and endpoint, as rates."""

import json
import shutil
import sys
import time
from typing import Any

import click

from tidegate.asking.options import whom_options
from tidegate.asking.values import routes, services
from tidegate.asking.whom import Whom, asked
from tidegate.commands.options import json_option


@click.command()
@whom_options
@click.option("--service", metavar="S", default="", help="NAME or NAMESPACE/NAME", shell_complete=services)
@click.option("--route", metavar="R", default="", help="rows of this route", shell_complete=routes)
@click.option("--for", "duration", metavar="5s", default=None, help="end after so long  [until Ctrl-C; --json: 5s]")
@click.option("--interval", metavar="1s", default="1s", help="how often the table is made anew  [1s]")
@json_option
def top(*, service: str, route: str, duration: str | None, interval: str, as_json: bool, **given: Any) -> int:
    """Show rates, success and latency live, the busiest first: requests where HTTP is seen, connections elsewhere.

    Without a terminal the rows are printed plainly at each interval; --json prints one object at the end.
    """
    from tidegate.asking.known import doubts
    from tidegate.toplines import TopTable

    whom = asked(given)
    for_s = _seconds("--for", duration) if duration is not None else (5.0 if as_json else None)
    every_s = _seconds("--interval", interval)
    wanted = _Wanted(service, route)
    for sentence in doubts(whom, service, route):
        click.echo(f"tidegate: {sentence}", err=True)
    if as_json:
        seconds = for_s or 5.0
        began, before = time.monotonic(), _look(whom, at_least_one=True)
        time.sleep(seconds)
        now = _look(whom, at_least_one=True)
        rows = wanted.rates(before, now, time.monotonic() - began)
        click.echo(json.dumps({"for_s": seconds, "rows": [one.as_dict() for one in rows]}))
        return 0
    table = TopTable(sys.stdout, shutil.get_terminal_size().columns, several=len(whom) > 1)
    end = None if for_s is None else time.monotonic() + for_s
    began, before = time.monotonic(), _look(whom, at_least_one=True)
    try:
        with table:
            while end is None or began < end:
                time.sleep(every_s if end is None else max(0.05, min(every_s, end - began)))
                at, now = time.monotonic(), _look(whom)
                if not now:
                    click.echo("tidegate: the proxy has ended", err=True)
                    return 1
                table.show(wanted.rates(before, now, at - began))
                began, before = at, now
    except KeyboardInterrupt:
        pass
    return 0


class _Wanted:
    def __init__(self, service: str, route: str) -> None:
        self._service, self._route = service, route

    def rates(self, before: dict[str, Any], now: dict[str, Any], seconds: float) -> list[Any]:
        from proxy.core.report.rates import rates

        found = [one for name in now for one in rates(before.get(name, []), now[name], seconds, name)]
        return [
            one
            for one in sorted(found, key=lambda one: -one.per_s)
            if _is_named(self._service, one.service) and _is_named(self._route, one.route)
        ]


def _is_named(asked_for: str, name: str) -> bool:
    return not asked_for or name == asked_for or name.partition("/")[2] == asked_for


def _look(whom: list[Whom], *, at_least_one: bool = False) -> dict[str, Any]:
    """The totals of each that answers. Raises Unreachable where only one was asked, or none answers."""
    from tidegate.admin import Admin
    from tidegate.errors import Unreachable
    from tidegate.netns import inside

    found: dict[str, Any] = {}
    failed: Exception | None = None
    for one in whom:
        try:
            with inside(one.netns):
                found[one.name] = Admin(one.admin).get("/totals")
        except Unreachable as unreachable:
            failed = unreachable
    if failed is not None and not found and at_least_one:
        raise failed
    return found


def _seconds(flag: str, text: str) -> float:
    from intercept.intent.from_flags import seconds

    found = seconds(flag, text.removesuffix("s"))
    if found <= 0:
        from intercept.errors import BadInput

        raise BadInput(flag, text, "more than 0 seconds")
    return found
