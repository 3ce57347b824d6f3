"""A third-party proxy's listeners, for backends that steer to sockets rather than to ports."""

from intercept.errors import CaptureError
from intercept.host.facts import read_host
from intercept.host.processes import process_id
from intercept.in_force import plan_in_force
from intercept.intent.intent import Mode


def adopt(pid_text: str) -> list[str]:
    """Register the listeners of a process for as long as they live; what was done, in words.

    Raises BadInput when there is no such process, CaptureError when nothing is in force or it has no such listener.
    """
    pid = process_id(pid_text)
    plan = plan_in_force(read_host())
    if plan is None:
        raise CaptureError("adopt: no capture is in force in this network namespace; run init first")
    if plan.mode is not Mode.EBPF:
        return [f"nothing to do: {plan.mode} mode steers to ports, whoever listens there"]
    from intercept.backends.ebpf import backend as ebpf

    adopted = ebpf.adopt(pid)
    if not adopted and plan.inbound:
        raise CaptureError(f"adopt: process {pid} has no listener on the inbound port {plan.intent.listeners.inbound}")
    return [f"adopted: {listener}" for listener in adopted]
