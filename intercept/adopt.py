"""A third-party proxy's listeners, for backends that steer to sockets rather than to ports."""

import os

from intercept.errors import CaptureError, PrivilegeMissing
from intercept.host.facts import read_host
from intercept.host.processes import process_id
from intercept.in_force import plan_in_force
from intercept.intent.intent import Mode
from intercept.plan.steering import steered


def adopt(pid_text: str) -> list[str]:
    """Register the listeners of a process for as long as they live; what was done, or why there is nothing to do.

    Raises BadInput when there is no such process, PrivilegeMissing (CAP_SYS_PTRACE) when it can't be looked into,
    CaptureError when no capture is in force.
    """
    pid = process_id(pid_text)
    plan = plan_in_force(read_host())
    if plan is None:
        raise CaptureError("adopt: no capture is in force in this network namespace; run init first")
    if plan.mode is not Mode.EBPF:
        return [f"nothing to do: {plan.mode} mode steers to ports, whatever process listens there"]
    if not steered(plan)["inbound"]:
        return ["nothing to do: inbound is not captured, and outbound is steered to the port"]
    _require_sight_of(pid)
    from intercept.backends.ebpf import backend as ebpf

    adopted = ebpf.adopt(pid)
    if not adopted:
        return [f"nothing to do: process {pid} has no listener on the inbound port {plan.intent.listeners.inbound}"]
    return [f"adopted: {listener}" for listener in adopted]


def _require_sight_of(pid: int) -> None:
    """A process that can't be looked into must not pass for one without listeners."""
    try:
        os.listdir(f"/proc/{pid}/fd")
    except PermissionError:
        raise PrivilegeMissing("CAP_SYS_PTRACE", f"look into process {pid} of another user") from None
    except OSError:
        raise CaptureError(f"adopt: process {pid} has ended") from None
