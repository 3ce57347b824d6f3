"""Whether a rule is for a request: by path, headers, query parameters and method, as HTTPRoute defines them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from proxy.core.route import regex
from proxy.core.route.target import Target, authority, parameters, parse


class Kind(StrEnum):
    EXACT = "exact"
    PREFIX = "prefix"
    """Whole segments of a path: /a takes /a and /a/b, not /ab. Of paths only."""
    REGEX = "regex"


class Text(NamedTuple):
    """What a header or parameter is compared with."""

    name: str
    value: str
    kind: Kind = Kind.EXACT


class Path(NamedTuple):
    """The value is normalised as paths of requests are (`target.normal_path`), but for a regular expression."""

    kind: Kind = Kind.PREFIX
    value: str = "/"


ANY_PATH = Path()


@dataclass(frozen=True, slots=True)
class Match:
    """All of it must hold. Names of headers are in lower case."""

    path: Path = ANY_PATH
    headers: tuple[Text, ...] = ()
    parameters: tuple[Text, ...] = ()
    method: str | None = None


EVERYTHING = Match()


class Request:
    """A request's head as rules see it; parts that no rule asks for are never worked out."""

    def __init__(self, method: str, target: str, headers: Sequence[tuple[str, str]]) -> None:
        """headers: in the order they came, with names as they came."""
        self.method = method
        self.target = target
        self.lines = headers

    @cached_property
    def path(self) -> str:
        return self._parsed.path

    @cached_property
    def parameters(self) -> Mapping[str, str]:
        return parameters(self._parsed.query)

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """By name in lower case. A repeated one is the list that RFC 9110, 5.3 makes of it."""
        found: dict[str, str] = {}
        for name, value in self.lines:
            key = name.lower()
            found[key] = f"{found[key]}, {value}" if key in found else value
        return found

    def first(self, name: str) -> str | None:
        """The value of the first header of that name, which is in lower case."""
        return next((value for given, value in self.lines if given.lower() == name), None)

    @property
    def authority(self) -> str:
        """Of an absolute form, else the Host; empty: an old client names none."""
        named = authority(self.target)
        return named if named is not None else self.first("host") or ""

    @cached_property
    def _parsed(self) -> Target:
        return parse(self.target)


def takes(match: Match, request: Request) -> bool:
    """Raises regex.BadPattern where an expression is none; a compiled policy has none of these."""
    return (
        (match.method is None or match.method == request.method)
        and _path(match.path, request.path)
        and _texts(match.headers, request.headers)
        and _texts(match.parameters, request.parameters)
    )


def first(matches: Iterable[Match], request: Request) -> int | None:
    """Index of the first that takes the request."""
    return next((index for index, match in enumerate(matches) if takes(match, request)), None)


def _path(wanted: Path, path: str) -> bool:
    match wanted.kind:
        case Kind.EXACT:
            return path == wanted.value
        case Kind.PREFIX:
            prefix = wanted.value.rstrip("/")
            return path.startswith(prefix) and (len(path) == len(prefix) or path[len(prefix)] == "/")
        case Kind.REGEX:
            return regex.matches(wanted.value, path)


def _texts(wanted: tuple[Text, ...], given: Mapping[str, str]) -> bool:
    for one in wanted:
        value = given.get(one.name)
        if value is None:
            return False
        if value != one.value if one.kind is Kind.EXACT else not regex.matches(one.value, value):
            return False
    return True
