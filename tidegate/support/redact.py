"""Takes out of values and lines what may be a secret: header values, queries, credentials. Pure.

What is left says how things are set up, not what passes through them. It is better to lose a harmless value than to
keep a secret: everything whose name sounds like one goes, too.
"""

import re
from typing import Any

REDACTED = "[redacted]"
_SECRET = re.compile(r"pass(word|wd|phrase)?$|secret|token|credential|authorization|cookie|api.?key|private.?key", re.I)
_NAMES_ONLY = frozenset({"cookie", "cookie_path", "cookie_ttl_s", "token_file"})
"""Fields of ours that name a thing and hold none of it."""
_HEADERS = frozenset({"headers", "set", "add", "parameters", "query_params", "queryParams"})
"""Lists of names with values: of headers, and of query parameters."""
_USERINFO = re.compile(r"//[^/\s@\"']+@")
_QUERY = re.compile(r"((?:^|[\s=\"'(\[])(?:[a-z][a-z0-9+.-]*:/)?/[^\s\"'?]*)\?[^\s\"')\]]*", re.I)
_JUDGES = re.compile(r"is not valid|expected|refused|unknown")
"""Lines that may quote what somebody wrote into a document."""
_TOKEN = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_NAMED = re.compile(
    r"((?:pass(?:word|wd|phrase)?|secret|token|credentials?|authorization|(?:set-)?cookie|api[-_]?key)[\"']?\s*[:=]\s*)"
    r"(?:(?:bearer|basic)\s+)?[^\s,;\"']*(?:\"[^\"]*\"|'[^']*')?",
    re.I,
)


def value(found: Any, key: str = "") -> Any:
    """The same value without secrets; key: the name that it stands under."""
    if isinstance(found, dict):
        return {name: _field(name, one) for name, one in found.items()}
    if isinstance(found, list):
        return [_pair(one) if key in _HEADERS else value(one, key) for one in found]
    return text(found) if isinstance(found, str) else found


def text(line: str) -> str:
    """A text that people may read, or a line of a log."""
    line = _USERINFO.sub(f"//{REDACTED}@", line)
    return _NAMED.sub(rf"\1{REDACTED}", _QUERY.sub(r"\1", line))


def problem(line: str) -> str:
    """A message about configuration: it names what stood there, which may be a secret in the wrong place."""
    return _TOKEN.sub(f"'{REDACTED}'", text(line))


def log(lines: str) -> str:
    return "\n".join(problem(one) if _JUDGES.search(one) else text(one) for one in lines.split("\n"))


def _field(name: str, one: Any) -> Any:
    if name in ("errors", "warnings") and isinstance(one, list):
        return [problem(str(line)) for line in one]
    if name == "authority" and isinstance(one, str):
        return text(one.rpartition("@")[2])
    if name in ("path", "target") and isinstance(one, str):
        return text(one.partition("?")[0])
    if _SECRET.search(name) and name not in _NAMES_ONLY and one not in (None, "", [], {}):
        return REDACTED
    if name in _HEADERS and isinstance(one, dict):
        return dict.fromkeys(one, REDACTED)
    return value(one, name)


def _pair(one: Any) -> Any:
    """An item of a list of headers: `[name, value]`, or an object with both."""
    if isinstance(one, list) and len(one) == 2:
        return [one[0], REDACTED]
    if isinstance(one, dict):
        return {name: REDACTED if name == "value" else _field(name, found) for name, found in one.items()}
    return value(one)
