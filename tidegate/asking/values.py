"""Values that a shell may complete: enrolments, runs, and the Services and routes of a running proxy.

A shell waits for the answer while its user types, so a proxy that does not answer at once is asked no further, and
nothing that goes wrong is ever said.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from click import Context, Parameter
    from click.shell_completion import CompletionItem


def enrolments(_context: "Context", _parameter: "Parameter", begun: str) -> "list[CompletionItem]":
    from onboard.enroll import registry

    return _those(begun, lambda: ((one.name, one.selector) for one in registry.every() if one.lives))


def runs(_context: "Context", _parameter: "Parameter", begun: str) -> "list[CompletionItem]":
    from tidegate.asking.whom import going

    return _those(begun, lambda: ((str(one.pid), _command_of(one.command)) for one in going()))


def services(context: "Context", _parameter: "Parameter", begun: str) -> "list[CompletionItem]":
    return _those(begun, lambda: ((one["service"], "") for one in _destinations(context)))


def routes(context: "Context", _parameter: "Parameter", begun: str) -> "list[CompletionItem]":
    def found() -> Iterator[tuple[str, str]]:
        for one in _destinations(context):
            if one["route"]:
                yield one["route"], one["service"]
            for rule in one["http_rules"]:
                yield rule["route"], one["service"]

    return _those(begun, found)


def backends(context: "Context", _parameter: "Parameter", begun: str) -> "list[CompletionItem]":
    """Of the Service that is named before: `NAME=`, to which the weight is added."""

    def found() -> Iterator[tuple[str, str]]:
        asked_for = context.params.get("service") or ""
        for one in _destinations(context):
            if asked_for in (one["service"], one["service"].partition("/")[2]):
                for rule in one["http_rules"]:
                    for target in rule["targets"]:
                        if target.get("name"):
                            yield f"{target['name']}=", f"of {rule['route']}"

    return _those(begun, found)


def words(*allowed: str) -> Callable[["Context", "Parameter", str], "list[CompletionItem]"]:
    """One of a few."""
    return lambda _context, _parameter, begun: _those(begun, lambda: ((word, "") for word in allowed))


def _those(begun: str, find: Any) -> "list[CompletionItem]":
    """Each value once. `NAME` completes `NAMESPACE/NAME`, too."""
    from click.shell_completion import CompletionItem

    try:
        found: dict[str, str] = dict(find())
    except Exception:  # a traceback in the midst of a command line helps nobody
        return []
    return [
        CompletionItem(value, help=help_text or None)
        for value, help_text in sorted(found.items())
        if value.startswith(begun) or value.partition("/")[2].startswith(begun or "\0")
    ]


def _destinations(context: "Context") -> Iterable[dict[str, Any]]:
    from tidegate.asking.known import destinations
    from tidegate.asking.whom import asked

    chosen = {name: context.params.get(name) for name in ("admin", "netns", "enrolment", "run_name", "everything")}
    for one in asked(chosen):
        yield from destinations(one, 1.0)


def _command_of(pids: tuple[int, ...]) -> str:
    from pathlib import Path

    return " ".join(Path(f"/proc/{pids[0]}/cmdline").read_text().split("\0")).strip() if pids else ""
