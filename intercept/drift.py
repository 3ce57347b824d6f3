"""What has changed on the host since capture was put in force, so that what is in force no longer fits it."""

from collections.abc import Iterator

from intercept.host import passthrough_address
from intercept.host.facts import HostFacts
from intercept.intent.intent import Dns
from intercept.plan.stored import Document


def drift_of_host(read: Document, host: HostFacts) -> tuple[str, ...]:
    """One sentence for each thing that `init` would do otherwise now. `host`: as it is now."""
    found = [*passthrough_address.drift(read.intent, host), *resolver_drift(read, host)]
    if read.intent.cgroup is not None:
        from intercept.host import cgroups

        found += cgroup_drift(read.intent.cgroup, read.cgroup_id, cgroups.id_of(read.intent.cgroup))
    return tuple(found)


def cgroup_drift(folder: str, planned: int | None, now: int | None) -> Iterator[str]:
    """Pure. `planned` and `now`: the folder's id when capture was put in force (None: not known), and today's."""
    if now is None:
        yield f"cgroup {folder} is gone: nothing is captured; run init again when it is there again"
    elif planned is not None and planned != now:
        yield f"cgroup {folder} was removed and made again, and the new one is not captured: run init again"


def resolver_drift(read: Document, host: HostFacts) -> Iterator[str]:
    """Pure. A resolv.conf that can't be read, as in another container's mount namespace, tells nothing."""
    if read.intent.dns is not Dns.RESOLVERS or not host.resolv_conf_read or set(read.resolvers) == set(host.resolvers):
        return
    planned, now = (", ".join(servers) or "no server" for servers in (read.resolvers, host.resolvers))
    yield f"resolv.conf names {now} now, and DNS is captured for {planned}: run init again"
