"""Where policy comes from, as the proxy sees it. The front door implements it; the proxy knows no file formats."""

from collections.abc import Set
from dataclasses import dataclass
from typing import Protocol

from proxy.core.policy.policy import Policy
from proxy.errors import ProxyError


class PolicyRefused(ProxyError):
    """Configuration is wrong and was refused whole (exit 2). `messages` begin with file:line."""

    exit_code = 2

    def __init__(self, messages: tuple[str, ...]) -> None:
        super().__init__("\n".join(messages))
        self.messages = messages


@dataclass(frozen=True, slots=True)
class Change:
    """What an operator changes at run time in what TrafficPolicies say of a Service."""

    namespace: str
    name: str
    patch: str | None
    """Fields as YAML or JSON; None: what was changed before is taken back."""
    keep: bool = False
    """Whether it outlives the next reading of the configuration."""


class PolicySource(Protocol):
    """Files and folders. Methods may be called from any thread, but only one at a time."""

    @property
    def names(self) -> tuple[str, ...]:
        """As the operator named them."""

    def folders(self) -> Set[str]:
        """The folders in which a change shows; what the kernel is asked to watch."""

    def changed(self) -> bool:
        """Whether anything differs from what the last `load` saw. Cheap: asked every second, by the source's thread."""

    def load(self) -> tuple[Policy, tuple[str, ...]]:
        """A policy made of all of it, and warnings, without changes at run time but those that are kept. Raises
        PolicyRefused; reading again is then up to `changed`."""

    def change(self, change: Change) -> tuple[Policy, tuple[str, ...]]:
        """A policy with the change, and warnings. Raises PolicyRefused: the change is not made."""

    def changes(self) -> tuple[tuple[Change, tuple[str, ...]], ...]:
        """Those that are made, and the names of the fields that each of them sets. Any thread may ask at any time."""

    def unreadable(self) -> tuple[str, ...]:
        """What this process, as the user that it is now, could not read again, in words."""


@dataclass(frozen=True, slots=True)
class Configured:
    """A source, and what was read from it before anything else was done."""

    source: PolicySource
    policy: Policy
    warnings: tuple[str, ...]
