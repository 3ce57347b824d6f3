"""A host next door, for a moment: a network namespace of its own at the other end of a veth pair.

Probes need somebody outside this namespace: to connect from (inbound), and to be meant (outbound), so that even where
capture is broken no probe reaches anybody else's host. Needs CAP_NET_ADMIN here and CAP_SYS_ADMIN for the namespace.
"""

import ctypes
import errno
import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from intercept.errors import CaptureError, PrivilegeMissing

Address = IPv4Address | IPv6Address

CLONE_NEWNET = 0x40000000
IFA_F_NODAD = 0x02
LINK_LOCAL_4 = int(IPv4Address("169.254.0.0"))
UNIQUE_LOCAL_6 = int(IPv6Address("fd74:6964:6567::"))


@dataclass(frozen=True, slots=True)
class Neighbour:
    """`near` are this namespace's addresses on the link, `far` the neighbour's, both by IP version.

    `pid` is a process in the neighbour's namespace; `enter` moves the calling (forked) process there.
    """

    pid: int
    near: dict[int, Address]
    far: dict[int, Address]
    interface: str

    def enter(self) -> None:
        fd = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _checked(_libc().setns(fd, CLONE_NEWNET), "enter the probe's network namespace")
        finally:
            os.close(fd)

    def route_to(self, address: Address) -> None:
        """Put `address` behind the neighbour for as long as the link stands. Only for one without a route."""
        from pyroute2 import IPRoute

        with IPRoute() as here:
            bits = 32 if address.version == 4 else 128
            here.route("add", dst=f"{address}/{bits}", gateway=str(self.far[address.version]))


@contextmanager
def neighbour(versions: tuple[int, ...]) -> Iterator[Neighbour]:
    """Make one with addresses of these IP versions. It and its link are gone afterwards, also when this process dies:
    the kernel removes the link with the neighbour's namespace, and the namespace with the neighbour's only process."""
    from pyroute2 import IPRoute

    tag = secrets.token_hex(3)
    inside = f"tgp{tag}"
    pid, ready = _start_holder()
    try:
        near, far = _addresses(versions)
        with IPRoute() as here:
            here.link("add", ifname=inside, kind="veth", peer={"ifname": "eth0", "net_ns_pid": pid})
            _configure(here, inside, near)
            ready.send_far(far)
            yield Neighbour(pid, near, far, inside)
    finally:
        ready.close()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        _unlink(inside)


class _Holder:
    """Our end of the pipes to the neighbour's process."""

    def __init__(self, tell: int, hear: int) -> None:
        self._tell = tell
        self._hear = hear

    def send_far(self, far: dict[int, Address]) -> None:
        os.write(self._tell, (" ".join(map(str, far.values())) + "\n").encode())
        answer = os.read(self._hear, 4096).decode()
        if answer != "up":
            raise CaptureError(f"the probe's neighbour could not be set up: {answer or 'it ended'}")

    def close(self) -> None:
        os.close(self._tell)
        os.close(self._hear)


def _start_holder() -> tuple[int, _Holder]:
    """Fork the process that is the neighbour. Returns when it has its namespace."""
    hear_child, child_tells = os.pipe()
    child_hears, tell_child = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(hear_child)
        os.close(tell_child)
        _hold(child_hears, child_tells)
    os.close(child_tells)
    os.close(child_hears)
    answer = os.read(hear_child, 256).decode()
    if answer != "ns":
        os.close(hear_child)
        os.close(tell_child)
        os.waitpid(pid, 0)
        if answer == "EPERM":
            raise PrivilegeMissing("CAP_SYS_ADMIN", "make a network namespace for probes to come from")
        raise CaptureError(f"a network namespace for probes could not be made: {answer}")
    return pid, _Holder(tell_child, hear_child)


def _hold(hears: int, tells: int) -> None:
    """In the neighbour's process: a namespace, addresses, then sleep until killed. Never returns."""
    from pyroute2 import IPRoute

    try:
        # Dies with the prober: the namespace and the link go with it.
        _libc().prctl(1, signal.SIGKILL, 0, 0, 0)
        if _libc().unshare(CLONE_NEWNET) < 0:
            os.write(tells, errno.errorcode[ctypes.get_errno()].encode())
            return
        os.write(tells, b"ns")
        far: dict[int, Address] = {}
        for address in map(ip_address, os.read(hears, 4096).decode().split()):
            far[address.version] = address
        with IPRoute() as there:
            there.link("set", index=there.link_lookup(ifname="lo")[0], state="up")
            _configure(there, "eth0", far)
        os.write(tells, b"up")
        while True:
            signal.pause()
    except Exception as error:  # told to the parent, which raises it
        os.write(tells, str(error).encode()[:4000])
    finally:
        os._exit(0)


def _configure(route: Any, name: str, addresses: dict[int, Address]) -> None:
    index = route.link_lookup(ifname=name)[0]
    for version, address in addresses.items():
        extra = {"flags": IFA_F_NODAD} if version == 6 else {}
        route.addr("add", index=index, address=str(address), prefixlen=30 if version == 4 else 126, **extra)
    route.link("set", index=index, state="up")


def _addresses(versions: tuple[int, ...]) -> tuple[dict[int, Address], dict[int, Address]]:
    """A random link network of each family: ours is the first usable address, the neighbour's the second."""
    block = secrets.randbelow(16000) + 256
    base: dict[int, Address] = {
        4: IPv4Address(LINK_LOCAL_4 + 4 * block),
        6: IPv6Address(UNIQUE_LOCAL_6 + (secrets.randbits(64) << 2)),
    }
    return {v: base[v] + 1 for v in versions}, {v: base[v] + 2 for v in versions}


def _unlink(name: str) -> None:
    """Removing one end of the link removes both; the kernel does it with the namespace, but only after a while."""
    from pyroute2 import IPRoute

    with IPRoute() as here:
        for index in here.link_lookup(ifname=name):
            with suppress(Exception):
                here.link("del", index=index)


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise CaptureError(f"cannot {what}: {os.strerror(code)}")
