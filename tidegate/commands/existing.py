"""Connections from before capture, for the commands that list or close them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intercept.existing import Existing


def list_existing() -> "list[Existing]":
    """Those that the capture in force would take if they were opened now. Nothing in force: none."""
    from intercept import existing
    from intercept.host import cgroups
    from intercept.host.facts import read_host
    from intercept.in_force import plan_in_force

    host = read_host()
    plan = plan_in_force(host)
    if plan is None:
        return []
    folder = plan.intent.cgroup
    cgroup = None if folder is None else cgroups.id_of(folder)
    if folder is not None and cgroup is None:
        return []  # the folder is gone, and with it every process that would be captured
    return existing.past_the_proxy(plan, host, existing.read_sockets(), cgroup)


def close_existing() -> int:
    """Abort them; how many."""
    from intercept import existing

    return existing.close(list_existing())
