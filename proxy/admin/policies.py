"""What TrafficPolicies say, changed at run time: set, taken back, listed. JSON in, in force when the answer comes."""

import json
import logging
from http import HTTPStatus
from typing import Any

from proxy.admin.answer import text
from proxy.admin.messages import Later, Request, Response
from proxy.admin.running import Running
from proxy.core.policy.weights import Unknown, service_named
from proxy.feed.feed import Feed
from proxy.feed.source import Change, PolicyRefused

_log = logging.getLogger("tidegate.admin")
_EXPECTED = 'expected {"service": "NAME or NAMESPACE/NAME", "patch": "YAML or JSON", "keep": false}'


def listed(proxy: Running, _: Request) -> Response:
    """What is changed now, by Service."""
    made = () if proxy.feed is None else proxy.feed.changes()
    found: list[dict[str, Any]] = [
        {"service": f"{change.namespace}/{change.name}", "fields": list(fields), "keep": change.keep}
        for change, fields in made
    ]
    return Response(HTTPStatus.OK, json.dumps(found).encode() + b"\n", "application/json")


def set_(proxy: Running, request: Request) -> Response | Later:
    return _changed(proxy, request, {"service", "patch", "keep"})


def revert(proxy: Running, request: Request) -> Response | Later:
    return _changed(proxy, request, {"service"})


def _changed(proxy: Running, request: Request, keys: set[str]) -> Response | Later:
    if proxy.feed is None:
        return text(HTTPStatus.BAD_REQUEST, "the proxy has no configuration, so there are no Services")
    try:
        asked = json.loads(request.body)
        if not isinstance(asked, dict) or not asked.keys() <= keys or (keys - {"keep"}) - asked.keys():
            raise ValueError("the body is no such object")
        service = service_named(proxy.feed.policy, str(asked["service"]))
    except Unknown as unknown:
        return text(HTTPStatus.BAD_REQUEST, str(unknown))
    except ValueError as wrong:
        return text(HTTPStatus.BAD_REQUEST, f"{wrong}; {_EXPECTED}")
    patch = str(asked["patch"]) if "patch" in keys else None
    change = Change(service.namespace, service.name, patch, keep=bool(asked.get("keep", False)))
    return Later(_put_in_force(proxy.feed, change, request.uid))


async def _put_in_force(feed: Feed, change: Change, uid: int | None) -> Response:
    try:
        await feed.change(change)
    except PolicyRefused as refused:
        return text(HTTPStatus.BAD_REQUEST, "\n".join(refused.messages))
    except RuntimeError as failed:
        return text(HTTPStatus.INTERNAL_SERVER_ERROR, str(failed))
    service = f"{change.namespace}/{change.name}"
    if change.patch is None:
        said = f"what was set for {service} is taken back"
    else:
        until = "until it is changed again" if change.keep else "until the next reload"
        fields = next((names for made, names in feed.changes() if made == change), ())
        said = f"{service}: {', '.join(fields)}, in force {until}"
    _log.warning("uid %s changed a policy: %s", "?" if uid is None else uid, said)
    return text(HTTPStatus.OK, said)
