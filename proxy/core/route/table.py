"""Finding the rule of a request without asking each: the same answers as `match.first`, whatever the number of rules.

cext/engine/route/index.h is built alike. A bucket holds the rules of one path. Within it a rule is filed under one of
its conditions; what is filed under a condition that does not hold need not be looked at."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from proxy.core.route.match import Kind, Match, Request, takes
from proxy.core.route.patterns import Patterns

_HEADER, _PARAMETER = 0, 1
_Name = tuple[int, str]


@dataclass(slots=True)
class _Bucket:
    plain: list[int] = field(default_factory=list)
    """Rules without conditions but, perhaps, a method."""
    exact: dict[_Name, dict[str, list[int]]] = field(default_factory=dict)
    by_pattern: dict[_Name, dict[str, list[int]]] = field(default_factory=dict)
    patterns: dict[_Name, Patterns] = field(default_factory=dict)

    def file(self, number: int, match: Match) -> None:
        conditions = [(_HEADER, one) for one in match.headers] + [(_PARAMETER, one) for one in match.parameters]
        if not conditions:
            self.plain.append(number)
            return
        subject, one = min(conditions, key=lambda condition: condition[1].kind is not Kind.EXACT)
        files = self.exact if one.kind is Kind.EXACT else self.by_pattern
        files.setdefault((subject, one.name), {}).setdefault(one.value, []).append(number)

    def seal(self) -> None:
        self.patterns = {name: Patterns(tuple(files)) for name, files in self.by_pattern.items()}

    def candidates(self, request: Request) -> Iterator[list[int]]:
        yield self.plain
        for name, files in self.exact.items():
            value = _value(request, name)
            if value is not None and value in files:
                yield files[value]
        for name, files in self.by_pattern.items():
            value = _value(request, name)
            if value is not None:
                yield from (files[pattern] for pattern in self.patterns[name].matching(value))


class RuleTable:
    """Immutable once made, so any thread may ask it."""

    def __init__(self, matches: Sequence[Match]) -> None:
        """Raises regex.BadPattern."""
        self._matches = tuple(matches)
        self._buckets: dict[tuple[Kind, str], _Bucket] = {}
        for number, match in enumerate(self._matches):
            value = match.path.value.rstrip("/") if match.path.kind is Kind.PREFIX else match.path.value
            self._buckets.setdefault((match.path.kind, value), _Bucket()).file(number, match)
        for bucket in self._buckets.values():
            bucket.seal()
        self._paths = Patterns([value for kind, value in self._buckets if kind is Kind.REGEX])

    def find(self, request: Request) -> int | None:
        """The first rule that takes the request."""
        best: int | None = None
        for bucket in self._of_path(request.path):
            for numbers in bucket.candidates(request):
                best = self._first(numbers, request, best)
        return best

    def _first(self, numbers: Iterable[int], request: Request, best: int | None) -> int | None:
        for number in numbers:
            if best is not None and number >= best:
                return best
            if takes(self._matches[number], request):
                return number
        return best

    def _of_path(self, path: str) -> Iterator[_Bucket]:
        for key in ((Kind.EXACT, path), *((Kind.PREFIX, prefix) for prefix in _prefixes(path))):
            bucket = self._buckets.get(key)
            if bucket is not None:
                yield bucket
        for pattern in self._paths.matching(path):
            yield self._buckets[Kind.REGEX, pattern]


def _prefixes(path: str) -> Iterator[str]:
    """Those that end where a segment does, the longest first; none of them ends with a slash."""
    end = len(path)
    while end >= 0:
        prefix = path[:end]
        if not prefix.endswith("/") and (prefix or path.startswith("/")):
            yield prefix
        end = path.rfind("/", 0, end) if end else -1


def _value(request: Request, name: _Name) -> str | None:
    return (request.headers if name[0] == _HEADER else request.parameters).get(name[1])
