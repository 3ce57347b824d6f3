"""What a rule does to a request before it is sent on and to the answer: headers, target, redirect."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from proxy.core.route.match import Kind, Path
from proxy.core.route.target import split

Headers = Sequence[tuple[str, str]]
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class HeaderEdits:
    """Names in `remove` and `set` are compared without regard to case; what is written has the case given here."""

    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


class PathEdit(NamedTuple):
    """whole: the new path. Otherwise `value` takes the place of the prefix that was matched."""

    value: str
    whole: bool


@dataclass(frozen=True, slots=True)
class Rewrite:
    """hostname: the new Host, without a port."""

    hostname: str | None = None
    path: PathEdit | None = None


@dataclass(frozen=True, slots=True)
class Redirect:
    status: int = 302
    scheme: str | None = None
    hostname: str | None = None
    port: int | None = None
    path: PathEdit | None = None


def edited(headers: Headers, edits: HeaderEdits) -> list[tuple[str, str]]:
    """Headers that no edit names stay where and as they are. A header that is set takes the place of the first of its
    name, and the others of that name go."""
    gone = {name.lower() for name in edits.remove}
    new = {name.lower(): (name, value) for name, value in edits.set}
    found: list[tuple[str, str]] = []
    written: set[str] = set()
    for name, value in headers:
        key = name.lower()
        if key in new:
            if key not in written:
                found.append(new[key])
                written.add(key)
        elif key not in gone:
            found.append((name, value))
    found += [header for key, header in new.items() if key not in written]
    return found + list(edits.add)


_UNSENDABLE = re.compile(r"[\x00- \x7f]")


def sendable(path: str) -> str:
    """What may not stand in a request line is escaped."""
    return _UNSENDABLE.sub(lambda found: f"%{ord(found[0]):02X}", path)


def rewritten(target: str, path: str, matched: Path, edit: PathEdit) -> str:
    """A new target, in origin form, with the query as it was. path: of the target, normalised; matched: what the rule
    asked of it."""
    _, query = split(target)
    new = _new_path(path, matched, edit._replace(value=sendable(edit.value)))
    return (new if new.startswith("/") else f"/{new}") + ("" if query is None else f"?{query}")


def in_origin_form(target: str) -> str:
    path, query = split(target)
    return path if query is None else f"{path}?{query}"


def location(
    redirect: Redirect, *, scheme: str, authority: str, port: int, target: str, path: str, matched: Path
) -> str:
    """Of a redirect's answer. scheme, authority (of the target, else the Host) and port: of the request as it came.
    Without any host the client stays at the one that it knows."""
    new_scheme = redirect.scheme or scheme
    hostname = redirect.hostname or _without_port(authority)
    if redirect.port is not None:
        new_port = redirect.port
    elif redirect.scheme is not None:
        new_port = DEFAULT_PORTS[new_scheme]
    else:
        new_port = port
    shown = "" if new_port == DEFAULT_PORTS.get(new_scheme) else f":{new_port}"
    origin_form = in_origin_form(target)
    new_target = origin_form if origin_form.startswith("/") else "/"
    if redirect.path is not None:
        new_target = rewritten(target, path, matched, redirect.path)
    return f"{new_scheme}://{hostname}{shown}{new_target}" if hostname else new_target


def _new_path(path: str, matched: Path, edit: PathEdit) -> str:
    if edit.whole:
        return edit.value
    prefix = matched.value.rstrip("/") if matched.kind is Kind.PREFIX else path
    rest = path[len(prefix) :]
    base = edit.value.rstrip("/")
    # /foo/bar with /foo -> /xyz is /xyz/bar, and /foo alone is /xyz or /xyz/ as the rule wrote it.
    if rest in ("", "/"):
        return edit.value if rest == "" and edit.value else f"{base}{rest}" or "/"
    return f"{base}{rest}"


def _without_port(authority: str) -> str:
    host, colon, port = authority.rpartition(":")
    digits = port.isascii() and port.isdigit()
    return host if host and colon and digits and (":" not in host or host.endswith("]")) else authority
