"""What the face of capture hands back. `as_dict` is what the commands print as JSON."""

from types import TracebackType
from typing import TYPE_CHECKING

from intercept.backends.contract import Held, InForce
from intercept.intent.intent import Mode
from intercept.intent.value import Value
from intercept.plan.build import Plan
from intercept.plan.stored import as_flags

if TYPE_CHECKING:
    from intercept.backends.kernel_lane import KernelLane


class Applied(Value):
    """changed: False when exactly this was in force already."""

    mode: Mode
    why: str
    changed: bool
    warnings: list[str]
    not_captured: list[str]
    plan: Plan

    def as_dict(self) -> dict[str, object]:
        return {
            "mode": str(self.mode),
            "why": self.why,
            "changed": self.changed,
            "warnings": self.warnings,
            "not_captured": self.not_captured,
        }


class Planned(Value):
    """A plan that nothing was done with. text: in the backend's own notation, for people and for other tools."""

    plan: Plan
    why: str
    text: str

    def as_dict(self) -> dict[str, object]:
        return {
            "mode": str(self.plan.mode),
            "why": self.why,
            "plan": self.text,
            "intent": as_flags(self.plan.intent),
            "not_captured": list(self.plan.not_captured),
            "warnings": list(self.plan.warnings),
        }


class Bound:
    """Capture bound to this process. `close` removes it; usable as a context manager."""

    def __init__(self, plan: Plan, why: str, held: Held) -> None:
        self.plan = plan
        self.why = why
        self._held = held

    @property
    def mode(self) -> Mode:
        return self.plan.mode

    @property
    def warnings(self) -> list[str]:
        return list(self.plan.warnings)

    @property
    def not_captured(self) -> list[str]:
        return list(self.plan.not_captured)

    @property
    def kernel_held(self) -> bool:
        """The kernel removes it when this process dies, SIGKILL included."""
        return self._held.kernel_held

    @property
    def direct(self) -> "KernelLane | None":
        """The kernel's half of the direct lane; None: this mode has none."""
        return self._held.direct

    def close(self) -> None:
        """Idempotent."""
        self._held.close()

    def refresh(self) -> None:
        """With `--when-down open`: the proxy lives; good for ALIVE_S seconds."""
        self._held.refresh()

    def __enter__(self) -> "Bound":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()


class Watched(Value):
    """What somebody who looks again and again has to know of the capture in force, at a part of status's cost."""

    mode: Mode
    drift: tuple[str, ...]
    plan: Plan | None
    """None: what is stored with the rules is damaged; drift says so."""
    found: InForce
    """What the backend said of it."""
