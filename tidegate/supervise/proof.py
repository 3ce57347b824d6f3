"""Proof that capture works, before the command may start.

A process in the command's cgroup connects to a destination that the plan says is captured; the proxy, told to expect
it, answers with a random token. Only a connection that really went through the capture can bring the token back.
"""

import os
import random
import secrets
from pathlib import Path

from intercept.check import probe as probing
from intercept.host import cgroups
from intercept.host.facts import HostFacts, read_host
from intercept.plan.explain import Connection
from intercept.plan.rules import Plan
from tidegate.supervise.proxy_process import ProxyProcess

CONNECT_S = 3.0


class NotProven(Exception):
    """A connection that should have been captured was not."""


def prove(plan: Plan, proxy: ProxyProcess, folder: Path) -> list[str]:
    """Raise NotProven unless captured connections reach `proxy`, for each family with a captured destination.

    Returns, in words, the families that could not be tried because no captured destination has a route from here.
    """
    host = read_host()
    return [
        f"IPv{version} capture was not tried: no captured destination has a route from here"
        for version in (4, 6)
        if not _proven(version, plan, host, proxy, folder)
    ]


def _proven(version: int, plan: Plan, host: HostFacts, proxy: ProxyProcess, folder: Path) -> bool:
    caller = Connection.outbound(uid=os.getuid(), gid=os.getgid(), in_cgroup=True)
    for target in probing.outbound_targets(plan, version, host, caller, random.SystemRandom()):
        token = secrets.token_hex(16)
        proxy.request("expect-probe", destination=str(target), token=token)
        result = probing.connect(target, lambda: cgroups.join(folder), CONNECT_S)
        if result.outcome is probing.Outcome.NO_ROUTE:
            continue
        if result.answer.strip() != token.encode():
            why = result.detail or f"another program answered {result.answer[:40]!r}"
            raise NotProven(f"a probe to {target} did not come through the capture ({plan.mode}): {why}")
        return True
    return False
