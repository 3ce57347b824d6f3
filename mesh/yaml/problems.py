"""What is wrong with configuration, and where. A run tells everything that it finds, not only the first problem."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

MAX_TOLD = 200
"""Problems kept a run: a file of garbage must not become a gigabyte of messages."""
_LONGEST_TOKEN = 80


class Place(NamedTuple):
    """A line of a file, both as a person names them. Line 0: the file as a whole."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    place: Place
    severity: Severity
    message: str

    def __str__(self) -> str:
        label = "" if self.severity is Severity.ERROR else "warning: "
        return f"{self.place}: {label}{self.message}"

    def as_dict(self) -> dict[str, str | int]:
        return {
            "file": self.place.file,
            "line": self.place.line,
            "severity": str(self.severity),
            "message": self.message,
        }


class ConfigError(Exception):
    """The configuration is refused as a whole (exit 2). `problems` holds errors and warnings, by file and line."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Problems:
    """Gathers what a run finds. Of what exceeds MAX_TOLD only the number is kept."""

    def __init__(self) -> None:
        self._found: list[Problem] = []
        self._left_out = 0
        self._errors = 0

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._found)

    @property
    def errors(self) -> int:
        return self._errors

    def error(self, place: Place, message: str) -> None:
        self.note(Problem(place, Severity.ERROR, message))

    def warning(self, place: Place, message: str) -> None:
        self.note(Problem(place, Severity.WARNING, message))

    def invalid(self, place: Place, field: str, token: object, allowed: str) -> None:
        """The usual error: `field`'s value `token` is not what is allowed there."""
        self.error(place, f"{field}: {shown(token)} is not valid: {allowed}")

    def sorted(self) -> tuple[Problem, ...]:
        """By file in the order they were read, then by line."""
        order = {file: number for number, file in enumerate(dict.fromkeys(p.place.file for p in self._found))}
        found = sorted(self._found, key=lambda p: (order[p.place.file], p.place.line))
        if self._left_out:
            last = found[-1].place
            found.append(Problem(last, Severity.ERROR, f"{self._left_out} more problems are not shown"))
        return tuple(found)

    def refuse_if_any(self) -> None:
        """Raises ConfigError when there is an error among what was found."""
        if self._errors:
            raise ConfigError(self.sorted())

    def extend(self, others: "Problems") -> None:
        for problem in others:
            self.note(problem)
        self._left_out += others._left_out
        self._errors += others._left_out

    def note(self, problem: Problem) -> None:
        self._errors += problem.severity is Severity.ERROR
        if len(self._found) < MAX_TOLD:
            self._found.append(problem)
        elif problem.severity is Severity.ERROR:
            self._left_out += 1


def shown(token: object) -> str:
    """A token as messages quote it: one line, printable, short."""
    text = repr(token) if isinstance(token, str) else str(token)
    return text if len(text) <= _LONGEST_TOKEN else text[: _LONGEST_TOKEN - 1] + "…"
