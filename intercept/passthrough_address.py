"""::6 on the loopback interface, for intents that exempt connections from it (Istio's and Kuma's proxies bind it).

127.0.0.6 needs nothing of the kind: the whole of 127.0.0.0/8 is local. Ours carries a metric of ours, so that cleanup
knows it after a crash too; one that somebody else put there serves as well and is never touched.
"""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from intercept.errors import CaptureError, PrivilegeMissing, Unsupported
from intercept.host import HostFacts, read_host
from intercept.intent import Intent, Ipv6

ADDRESS = "::6"
METRIC = 0x7467
_LOOPBACK_INDEX = 1
_AS_THE_KERNEL_WRITES_IT = "00000000000000000000000000000006 01 80 "
_FOREVER = 2**32 - 1


def needed(intent: Intent, host: HostFacts) -> bool:
    return ADDRESS in intent.exempt.sources and intent.ipv6 is not Ipv6.OFF and host.ipv6_missing is None


def rendered(intent: Intent, host: HostFacts) -> str:
    """What a dry run shows of it, as a comment in every backend's notation."""
    return f"# ip -6 address add {ADDRESS}/128 dev lo preferred_lft 0\n" if needed(intent, host) else ""


def drift(intent: Intent, host: HostFacts) -> tuple[str, ...]:
    return (f"address {ADDRESS}/128 on lo is gone",) if needed(intent, host) and not _there() else ()


@contextmanager
def in_place(intent: Intent) -> Iterator[bool]:
    """Have the address there if the intent needs it; yields whether it was added for this. An exception takes it away
    again, if so. Raises PrivilegeMissing, CaptureError."""
    added = ADDRESS in intent.exempt.sources and needed(intent, read_host()) and _add()
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
    with _netlink() as ip:
        mine = [
            one
            for one in ip.get_addr(family=socket.AF_INET6, index=_LOOPBACK_INDEX)
            if one.get_attr("IFA_ADDRESS") == ADDRESS and one.get_attr("IFA_RT_PRIORITY") == METRIC
        ]
        if not mine or not _change(ip, "del"):
            return []
    return [f"address {ADDRESS}/128 on lo"]


def _there() -> bool:
    try:
        with open("/proc/thread-self/net/if_inet6", encoding="ascii") as file:
            return any(line.startswith(_AS_THE_KERNEL_WRITES_IT) for line in file)
    except OSError:
        return False


def _add() -> bool:
    if _there():
        return False
    with _netlink() as ip:
        # Deprecated from the start: bound on purpose it serves, and is nobody's choice of a source otherwise.
        lifetimes = {"ifa_preferred": 0, "ifa_valid": _FOREVER}
        return _change(ip, "add", IFA_RT_PRIORITY=METRIC, IFA_CACHEINFO=lifetimes)


@contextmanager
def _netlink() -> Iterator[Any]:
    try:
        from pyroute2 import IPRoute
    except ModuleNotFoundError:
        raise Unsupported(f"the Python module pyroute2 is missing: it is needed to put {ADDRESS} on lo") from None
    with IPRoute() as ip:
        yield ip


def _change(ip: Any, action: str, **more: Any) -> bool:
    """False: somebody else was quicker."""
    from pyroute2.netlink.exceptions import NetlinkError

    what = f"{'put' if action == 'add' else 'remove'} the address {ADDRESS}/128 on the loopback interface"
    try:
        ip.addr(action, index=_LOOPBACK_INDEX, family=socket.AF_INET6, address=ADDRESS, prefixlen=128, **more)
    except NetlinkError as error:
        if error.code in (errno.EEXIST, errno.EADDRNOTAVAIL):
            return False
        if error.code == errno.EPERM:
            raise PrivilegeMissing("CAP_NET_ADMIN", what) from None
        raise CaptureError(f"cannot {what}: {errno.errorcode.get(error.code, error.code)}") from None
    return True
