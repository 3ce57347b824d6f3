"""What every backend module offers. The face (`intercept.capture`) knows no more of a backend than this."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

from intercept.intent.listeners import EVERY_LISTENER, Sign
from intercept.plan.rules import Plan

if TYPE_CHECKING:
    from intercept.backends.kernel_lane import KernelLane


class InForce(NamedTuple):
    """What a backend found of ours in this network namespace.

    document: the stored canonical text (`intercept.plan.stored`), None when it can't be read any more.
    drift: what differs from what was put in force, one sentence each; empty is as it should be.
    counters: rule name -> packets or connections, where the backend has them.
    active: False when what is there does nothing (left-overs of an interrupted change).
    alive: for `--when-down open`, the listeners that the rules take to be up right now; None: the backend looks itself.
    out_of_reach: listeners of the proxy that are up and that this backend cannot steer to.
    not_captured: what the plan captures and this backend could not, as seen in the kernel, one sentence each.
    """

    document: str | None
    drift: tuple[str, ...] = ()
    counters: Mapping[str, int] = MappingProxyType({})
    active: bool = True
    alive: frozenset[Sign] | None = None
    out_of_reach: tuple[Sign, ...] = ()
    not_captured: tuple[str, ...] = ()


class Held(NamedTuple):
    """Capture whose life hangs on the calling process.

    kernel_held: the kernel itself removes it when this process dies; otherwise somebody must call `remove`.
    close: removes it now (idempotent). refresh: says that all listeners are up, for `--when-down open`. direct: the
    kernel's half of the direct lane, where the backend has one.
    """

    kernel_held: bool
    close: Callable[[], None]
    refresh: Callable[[], None]
    direct: "KernelLane | None" = None


class Backend(Protocol):
    def available(self, *, lasting: bool = True) -> str | None:
        """Why this backend can't work here, or None. Tried for real, without leaving anything behind.

        lasting: it is for `apply`, whose capture has to outlive this process; else for `bind`.
        """

    def apply(self, plan: Plan, document: str, *, name: str, wait_s: float) -> bool:
        """Put the plan in force, replacing what `name` had in force, in one step. False: it was in force already.

        All of it or nothing, also when killed. Raises CaptureError's kin, rolled back.
        """

    def bind(self, plan: Plan, document: str, *, name: str, wait_s: float) -> Held:
        """As apply, tied to the life of the calling process where the kernel can do that."""

    def names(self) -> list[str]:
        """Every name under which this backend has something of ours here, damaged or half left-overs too."""

    def inspect(self, name: str, expected: Callable[[str], Plan | None]) -> InForce | None:
        """None: nothing under that name. `expected` makes the plan again from a stored document (None: unreadable)."""

    def remove(self, name: str, *, wait_s: float) -> list[str]:
        """Remove all that `name` has; what was removed, in words. Nothing there: empty list."""

    def refresh_alive(self, name: str, listening: Iterable[Sign] = EVERY_LISTENER) -> None:
        """`--when-down open`: capture what is steered to these listeners for ALIVE_S seconds from now."""

    def render(self, plan: Plan) -> str:
        """The plan in the backend's own notation. Pure: no privilege, no tool, no kernel."""


ALIVE_S = 0.9
"""How long one sign of life lasts: with a refresh each 0.3 s capture ends within a second of the proxy's death."""
