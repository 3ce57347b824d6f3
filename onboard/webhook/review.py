"""AdmissionReview in, AdmissionReview out (admission.k8s.io/v1). Pure, and bounded by the size of what comes in."""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from intercept.errors import BadInput
from intercept.intent.from_flags import Raw
from onboard.kubernetes.containers import Options
from onboard.text.problems import ManifestError
from onboard.webhook.pod import Outcome, change

GROUP_VERSION = "admission.k8s.io/v1"
_LONGEST_UID = 256
_MOST_NOTES = 8
_LONGEST_NOTE = 200


class OnError(StrEnum):
    """What becomes of a pod that asks for something that cannot be kept."""

    ALLOW = "allow"
    """It is made without tidegate, and the user is warned."""
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Settings:
    options: Options
    flags: Mapping[str, Raw] = field(default_factory=dict)
    """init's, for every pod; they win over annotations."""
    on_error: OnError = OnError.DENY


class NoReview(Exception):
    """The body is no AdmissionReview that could be answered: the caller gets status 400."""


def answer(body: bytes, settings: Settings) -> bytes:
    """Raises NoReview."""
    request = _request(body)
    response: dict[str, Any] = {"uid": request["uid"], "allowed": True}
    if _is_new_pod(request):
        try:
            outcome = change(_object(request), settings.flags, settings.options)
        except (ManifestError, BadInput) as wrong:
            outcome = Outcome([], (f"tidegate: {wrong}",))
            if settings.on_error is OnError.DENY:
                response["allowed"] = False
                response["status"] = {"code": 422, "message": f"tidegate: {wrong}"[:1024]}
                outcome = Outcome([], ())
        if outcome.patch:
            patch = json.dumps(outcome.patch, separators=(",", ":")).encode("ascii")
            response |= {"patchType": "JSONPatch", "patch": b64encode(patch).decode("ascii")}
        if outcome.notes:
            response["warnings"] = [note[:_LONGEST_NOTE] for note in outcome.notes[:_MOST_NOTES]]
    made = {"apiVersion": GROUP_VERSION, "kind": "AdmissionReview", "response": response}
    return json.dumps(made, separators=(",", ":")).encode("ascii")


def _request(body: bytes) -> dict[str, Any]:
    import msgspec

    try:
        review = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as wrong:
        raise NoReview(f"no JSON: {wrong}") from None
    if not isinstance(review, dict) or review.get("kind") != "AdmissionReview":
        raise NoReview("no AdmissionReview")
    if review.get("apiVersion") != GROUP_VERSION:
        raise NoReview(f"apiVersion: {GROUP_VERSION} is understood")
    request = review.get("request")
    if not isinstance(request, dict):
        raise NoReview("the review has no request")
    uid = request.get("uid")
    if not isinstance(uid, str) or not 0 < len(uid) <= _LONGEST_UID:
        raise NoReview("the request has no uid")
    return request


def _is_new_pod(request: Mapping[str, Any]) -> bool:
    """Everything else is let through as it is: the rules of the webhook's configuration may be wider than wanted."""
    kind = request.get("kind")
    named = isinstance(kind, dict) and (kind.get("group", ""), kind.get("version"), kind.get("kind")) == (
        "",
        "v1",
        "Pod",
    )
    return named and request.get("operation") == "CREATE" and not request.get("subResource")


def _object(request: Mapping[str, Any]) -> dict[str, Any]:
    found = request.get("object")
    if not isinstance(found, dict):
        raise ManifestError("pod", 0, "the review has no object")
    return found
