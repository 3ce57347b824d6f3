"""A head in the hands of a filter. What a filter writes is checked where it writes it: a head is never sent that says
something else to its recipient than to us."""

import re
from collections.abc import Iterable, Iterator

FRAMING = frozenset(
    {"connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Headers that say where messages end and what becomes of the connection: those are the engine's."""
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_TARGET = re.compile(r"[^\x00-\x20\x7f]+")


class Headers:
    """In the order they came; names are compared without regard to case."""

    def __init__(self, lines: Iterable[tuple[str, str]]) -> None:
        self._lines = list(lines)
        self.changed = False

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(list(self._lines))

    def __len__(self) -> int:
        return len(self._lines)

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value."""
        return next((value for given, value in self._lines if given.lower() == name.lower()), default)

    def all(self, name: str) -> list[str]:
        return [value for given, value in self._lines if given.lower() == name.lower()]

    def set(self, name: str, value: str) -> None:
        """In the place of the first of that name, or at the end; others of that name go."""
        _check(name, value)
        places = [index for index, (given, _) in enumerate(self._lines) if given.lower() == name.lower()]
        if places:
            self._lines[places[0]] = (name, value)
            self._lines = [line for index, line in enumerate(self._lines) if index not in places[1:]]
        else:
            self._lines.append((name, value))
        self.changed = True

    def add(self, name: str, value: str) -> None:
        _check(name, value)
        self._lines.append((name, value))
        self.changed = True

    def remove(self, name: str) -> None:
        _check(name, "")
        left = [line for line in self._lines if line[0].lower() != name.lower()]
        self.changed = self.changed or len(left) < len(self._lines)
        self._lines = left


class Answer:
    """An answer that a filter gives; made by `FilteredRequest.answer`."""

    def __init__(self, status: int, body: bytes, headers: Headers) -> None:
        self.status, self.body, self.headers = status, body, headers


class FilteredRequest:
    """What `on_request` gets."""

    def __init__(self, method: str, target: str, lines: Iterable[tuple[str, str]], peer: str) -> None:
        """peer: the client's address."""
        self.method, self.peer = method, peer
        self.headers = Headers(lines)
        self._target = self._first_target = target

    @property
    def target(self) -> str:
        """Path and query as they came. May be set; rules are asked with the new one."""
        return self._target

    @target.setter
    def target(self, new: str) -> None:
        if not _TARGET.fullmatch(new):
            raise ValueError(f"target: {new!r} may not stand in a request line")
        self._target = new

    @property
    def changed(self) -> bool:
        return self.headers.changed or self._target != self._first_target

    def answer(self, status: int, body: bytes | str = b"", headers: Iterable[tuple[str, str]] = ()) -> Answer:
        """To be returned by `on_request`: the client gets this, and the request goes nowhere."""
        if not 200 <= status <= 599 or (status in (204, 304) and body):
            raise ValueError(f"status: {status!r} is not valid here: 200 to 599, and no body with 204 and 304")
        made = Headers(())
        for name, value in headers:
            made.add(name, value)
        return Answer(status, body.encode() if isinstance(body, str) else body, made)


class FilteredResponse:
    """What `on_response` gets: the head of an answer, with what the routes' filters have made of it."""

    def __init__(self, status: int, lines: Iterable[tuple[str, str]]) -> None:
        self.status = status
        self.headers = Headers(lines)


def written(first_line: str, lines: Iterable[tuple[str, str]]) -> bytes:
    """A head. Text is as in `proxy.core.route.target`."""
    text = "\r\n".join([first_line, *(f"{name}: {value}" for name, value in lines)])
    return text.encode("utf-8", "surrogateescape") + b"\r\n\r\n"


def parsed(head: bytes) -> tuple[str, list[tuple[str, str]]]:
    """The first line and the headers of a head that the engine has framed."""
    first, *lines = head.decode("utf-8", "surrogateescape").removesuffix("\r\n\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return first, [(name, value.strip(" \t")) for name, _, value in pairs]


def _check(name: str, value: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is no header name")
    if name.lower() in FRAMING:
        raise ValueError(f"{name}: this header frames the message, so a filter may not change it")
    if not _VALUE.fullmatch(value):
        raise ValueError(f"{name}: {value!r} may not stand in a header")
