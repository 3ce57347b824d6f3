"""::6 on the loopback interface, for intents that exempt connections from it (Istio's and Kuma's proxies bind it).

127.0.0.6 needs nothing of the kind: the whole of 127.0.0.0/8 is local. Ours carries a metric of ours, so that cleanup
knows it after a crash too; one that somebody else put there serves as well and is never touched.
"""

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_network

from intercept.errors import CaptureError, PrivilegeMissing
from intercept.host.facts import HostFacts, read_host
from intercept.intent.intent import Intent, Ipv6

ADDRESS = IPv6Address("::6")
METRIC = 0x7467
_LOOPBACK_INDEX = 1
_AS_THE_KERNEL_WRITES_IT = "00000000000000000000000000000006 01 80 "
_ROUTED_WITHIN_S = 0.5


def needed(intent: Intent, host: HostFacts) -> bool:
    return str(ADDRESS) in intent.exempt.sources and intent.ipv6 is not Ipv6.OFF and host.ipv6_missing is None


def rendered(intent: Intent, host: HostFacts) -> str:
    """What a dry run shows of it, as a comment in every backend's notation."""
    return f"# ip -6 address add {ADDRESS}/128 dev lo preferred_lft 0\n" if needed(intent, host) else ""


def drift(intent: Intent, host: HostFacts) -> tuple[str, ...]:
    return (f"address {ADDRESS}/128 on lo is gone",) if needed(intent, host) and not _there() else ()


@contextmanager
def in_place(intent: Intent) -> Iterator[bool]:
    """Have the address there if the intent needs it; yields whether it was added for this. An exception takes it away
    again, if so. Raises PrivilegeMissing, CaptureError."""
    added = str(ADDRESS) in intent.exempt.sources and needed(intent, read_host()) and _add()
    try:
        yield added
    except BaseException:
        if added:
            withdraw()
        raise


def withdraw() -> list[str]:
    """Remove the address if it is ours; what was removed, in words."""
    if not _there():
        return []
    from intercept.host import rtnetlink  # costs `init` a millisecond or more, and is rarely needed

    if rtnetlink.metric_of(ADDRESS, _LOOPBACK_INDEX) != METRIC:
        return []
    gone = _done("remove", lambda: rtnetlink.delete_address(ADDRESS, _LOOPBACK_INDEX))
    return [f"address {ADDRESS}/128 on lo"] if gone else []


def _there() -> bool:
    try:
        with open("/proc/thread-self/net/if_inet6", encoding="ascii") as file:
            return any(line.startswith(_AS_THE_KERNEL_WRITES_IT) for line in file)
    except OSError:
        return False


def _add() -> bool:
    if _there():
        return False
    # Deprecated from the start: bound on purpose it serves, and is nobody's choice of a source otherwise.
    from intercept.host import rtnetlink

    added = _done("put", lambda: rtnetlink.add_address(ADDRESS, _LOOPBACK_INDEX, METRIC))
    _wait_until_routed()
    return added


def _wait_until_routed() -> None:
    """The kernel makes a new address' local route in a worker of its own, some milliseconds after the answer to us. A
    backend that reads the own addresses before that takes ::6 for another host's. On a loopback interface that is down
    the route comes with `ip link set lo up`, so the wait ends without it.
    """
    deadline = time.monotonic() + _ROUTED_WITHIN_S
    while ip_network(ADDRESS) not in read_host().own and time.monotonic() < deadline:
        time.sleep(0.001)


def _done(what: str, change: Callable[[], None]) -> bool:
    """False: somebody else was quicker."""
    try:
        change()
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.EADDRNOTAVAIL):
            return False
        task = f"{what} the address {ADDRESS}/128 on the loopback interface"
        if error.errno == errno.EPERM:
            raise PrivilegeMissing("CAP_NET_ADMIN", task) from None
        raise CaptureError(f"cannot {task}: {error.strerror}") from None
    return True
