"""Changes of the policy at run time, as admin takes them: JSON in, in force when the answer comes."""

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from proxy.admin.answer import text
from proxy.admin.messages import Later, Request, Response
from proxy.admin.running import Running
from proxy.core.policy.weights import MOST_WEIGHT, Unknown, Weights, service_named, with_weights
from proxy.feed.feed import Feed
from proxy.feed.overrides import Override

_log = logging.getLogger("tidegate.admin")
_EXPECTED = 'expected {"service": "NAME or NAMESPACE/NAME", "weights": {"NAME": WEIGHT}, "keep": false}'


def set_weights(proxy: Running, request: Request) -> Response | Later:
    """Of backends of a Service's routes."""
    if proxy.feed is None:
        return text(HTTPStatus.BAD_REQUEST, "the proxy has no configuration, so there are no routes")
    try:
        asked = _asked(request.body)
        weights = Weights(service_named(proxy.feed.policy, asked["service"]), asked["weights"])
    except Unknown as unknown:
        return text(HTTPStatus.BAD_REQUEST, str(unknown))
    except ValueError as wrong:
        return text(HTTPStatus.BAD_REQUEST, f"{wrong}; {_EXPECTED}")
    return Later(_put_in_force(proxy.feed, weights, keep=bool(asked.get("keep", False)), uid=request.uid))


async def _put_in_force(feed: Feed, weights: Weights, *, keep: bool, uid: int | None) -> Response:
    change = Override(
        what=f"route set-weight {weights}",
        apply=lambda policy: with_weights(policy, weights),
        keep=keep,
        keys=frozenset((weights.service, name) for name in weights.by_name),
    )
    try:
        await feed.override(change)
    except Unknown as unknown:
        return text(HTTPStatus.BAD_REQUEST, str(unknown))
    except RuntimeError as failed:
        return text(HTTPStatus.INTERNAL_SERVER_ERROR, str(failed))
    until = "until it is changed again" if keep else "until the next reload"
    _log.warning("uid %s set the weights of %s, in force %s", "?" if uid is None else uid, weights, until)
    return text(HTTPStatus.OK, f"{weights}, in force {until}")


def _asked(body: bytes) -> Mapping[str, Any]:
    asked = json.loads(body)
    if not isinstance(asked, dict) or not asked.keys() <= {"service", "weights", "keep"}:
        raise ValueError("the body is no such object")
    weights = asked.get("weights")
    if not (isinstance(asked.get("service"), str) and isinstance(weights, dict) and weights):
        raise ValueError("service or weights are missing")
    for name, weight in weights.items():
        if type(weight) is not int or not 0 <= weight <= MOST_WEIGHT:
            raise ValueError(f"weights: {name}: {weight!r} is not valid: a number from 0 to {MOST_WEIGHT}")
    return asked
