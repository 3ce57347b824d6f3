"""A request's target as rules see it. What is compared is normalised; the bytes that are sent stay as they came.

Text is UTF-8, with `surrogateescape` for bytes that are none: equal texts are equal bytes. The same in C
is cext/engine/route/path.c."""

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class Target(NamedTuple):
    """path: without dot segments and with unreserved escapes decoded. query: as sent, without the question mark;
    None: there is none, which is not the same as an empty one."""

    path: str
    query: str | None


def parse(text: str) -> Target:
    """Of a request line, in origin form, absolute form or asterisk form. A fragment does not belong into a request;
    it is taken as a part of what it follows."""
    path, query = split(text)
    return Target(normal_path(path), query)


def split(text: str) -> tuple[str, str | None]:
    """Path and query as they came; the path of an absolute form may be missing, which is the same as "/"."""
    absolute = _ABSOLUTE.match(text)
    path, mark, query = text[absolute.end() if absolute else 0 :].partition("?")
    return path or "/", query if mark else None


def authority(text: str) -> str | None:
    """Of an absolute form; None: the target is none."""
    absolute = _ABSOLUTE.match(text)
    return None if absolute is None else absolute[1]


def normal_path(path: str) -> str:
    """RFC 3986, 6.2.2: escapes of unreserved characters are decoded, the others written with capitals, and dot
    segments removed. Repeated slashes stay: they name another resource for many servers."""
    if "%" in path:
        path = _ESCAPE.sub(_decoded, path)
    if "/." not in path or not path.startswith("/"):
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def parameters(query: str | None) -> dict[str, str]:
    """Of a repeated parameter the first value counts, as Gateway API has it."""
    found: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        if part:
            found.setdefault(_form_decoded(name), _form_decoded(value))
    return found


def _form_decoded(text: str) -> str:
    """Bytes are decoded as bytes: an escape may stand for a part of a character, or for none at all."""
    if "%" not in text:
        return text.replace("+", " ")
    plain = text.replace("+", " ").encode("utf-8", "surrogateescape")
    return unquote_to_bytes(plain).decode("utf-8", "surrogateescape")


def _decoded(escape: re.Match[str]) -> str:
    character = chr(int(escape[1], 16))
    return character if character in _UNRESERVED else escape[0].upper()
