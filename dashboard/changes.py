"""Changes that the page may ask for, judged before a proxy is asked: weights, and fields of a policy."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

MOST_WEIGHT = 1_000_000
FIELDS = ("fault", "shedding")
"""Of a TrafficPolicy, that the page changes. The command changes the others."""


class Change(NamedTuple):
    """path, body: of the request to the admin address."""

    proxy: str
    path: str
    body: dict[str, Any]


def change(asked: Any) -> Change:
    """Raises ValueError, which says what is wrong."""
    if not isinstance(asked, Mapping):
        raise ValueError("a change is an object")  # noqa: TRY004  # the client's error, not the program's
    proxy, service, what = (_text(asked, key) for key in ("proxy", "service", "what"))
    if what == "weights":
        return Change(proxy, "/route/weights", {"service": service, "weights": _weights(asked.get("weights"))})
    if what == "policy":
        return Change(proxy, "/policy", {"service": service, "patch": json.dumps(_patch(asked.get("patch")))})
    if what == "revert":
        return Change(proxy, "/policy/revert", {"service": service})
    raise ValueError(f"what: {what!r} is not valid: weights, policy or revert")


def _text(asked: Mapping[str, Any], key: str) -> str:
    found = asked.get(key)
    if not isinstance(found, str) or not found:
        raise ValueError(f"{key} is missing")
    return found


def _weights(given: Any) -> dict[str, int]:
    if not isinstance(given, Mapping) or not given:
        raise ValueError("weights are missing")
    for name, weight in given.items():
        if type(weight) is not int or not 0 <= weight <= MOST_WEIGHT:
            raise ValueError(f"the weight of {name} is not valid: a whole number from 0 to {MOST_WEIGHT}")
    return dict(given)


def _patch(given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping) or not given or not set(given) <= set(FIELDS):
        raise ValueError(f"a patch has one of {', '.join(FIELDS)} and nothing else")
    return dict(given)
