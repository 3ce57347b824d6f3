"""What another tool's command line and environment come to here."""

from dataclasses import dataclass
from enum import StrEnum

from intercept.intent.intent import Intent

PASSTHROUGH_SOURCES = ("127.0.0.6", "::6")
"""What the proxies of Istio and Kuma bind for calls to the workload that they take no part in."""


class Action(StrEnum):
    APPLY = "apply"
    APPLY_THEN_CHECK = "apply-then-check"
    CHECK = "check"
    CLEANUP = "cleanup"


@dataclass(frozen=True, slots=True)
class Translated:
    """intent.mode is AUTO unless the tool names a mode; cgroup and when_down are never set, no tool knows them.

    dry_run: show what `action` would do, and do nothing. netns, wait_s: None if the tool's settings say nothing.
    notes: what was left out or read differently, in words, for the user to see.
    """

    intent: Intent
    action: Action = Action.APPLY
    dry_run: bool = False
    netns: str | None = None
    wait_s: float | None = None
    notes: tuple[str, ...] = ()
