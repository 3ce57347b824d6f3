"""libnftables in this process: one context, one netlink socket. No process is started."""

import errno
import os
import re
from _socket import AF_NETLINK, SOCK_RAW, socket  # the module `socket` costs 4 ms and offers nothing more here
from types import TracebackType
from typing import Any

from intercept.errors import CaptureError, PrivilegeMissing, Unsupported
from intercept.host import privilege

_NETLINK_NETFILTER = 12
_NO_ACCESS = ("Operation not permitted", "Permission denied")
_LACKING = ("Operation not supported", "Protocol not supported", "No such device", "Unable to initialize")


class Rejected(CaptureError):
    """nft or the kernel refused a command. missing: it said that something isn't there."""

    def __init__(self, what: str, told: str) -> None:
        super().__init__(f"{what}: {told.strip()}")
        self.missing = "No such file or directory" in told


class Session:
    """Owned by whoever makes it; `close` ends it, and with it every table that this session owns.

    The network namespace is the one the calling thread is in when the session is made.
    """

    def __init__(self) -> None:
        try:
            import nftables
        except ModuleNotFoundError:
            raise Unsupported("nftables mode needs Python's nftables module (apt install python3-nftables)") from None
        privilege.require(privilege.NET_ADMIN, "look at and change nftables rules")
        # libnftables ends the whole process when it can't open this socket: find out first.
        try:
            socket(AF_NETLINK, SOCK_RAW, _NETLINK_NETFILTER).close()
        except OSError as error:
            raise Unsupported(f"the kernel has no nfnetlink (CONFIG_NETFILTER_NETLINK): {error.strerror}") from None
        before = _netlink_fds()
        try:
            self._nft: Any = nftables.Nftables()
        except OSError as error:
            raise Unsupported(f"libnftables can't be loaded: {error}") from None
        # A child that outlives us must not keep alive a table that is bound to us.
        (fd,) = _netlink_fds() - before
        os.set_inheritable(fd, False)
        self.socket = socket(fileno=os.dup(fd))
        """The context's own socket, for what nft's text can't say. Its answers must be read to the last."""
        self._nft.set_stateless_output(True)
        # Numbers only: for names nft would ask the name service, about each protocol of each rule.
        self._nft.set_numeric_proto_output(True)
        self._nft.set_numeric_prio_output(True)
        self._nft.set_numeric_symbol_output(True)

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        # The binding frees its context, and so its socket, when the last reference goes.
        self.socket.close()
        self._nft = None

    def run(self, text: str, what: str) -> str:
        """One transaction or listing. `what` says what was tried. Raises Rejected, Unsupported, PrivilegeMissing."""
        code, output, told = self._nft.cmd(text)
        if code == 0:
            return str(output)
        if any(phrase in told for phrase in _NO_ACCESS):
            raise PrivilegeMissing("CAP_NET_ADMIN", f"{what} (nftables)")
        if any(phrase in told for phrase in _LACKING):
            raise Unsupported(f"{what}: the kernel lacks what this nftables command needs: {told.strip()}")
        raise Rejected(what, told)

    def try_out(self, text: str, what: str) -> None:
        """Let the kernel judge the transaction without committing it. Raises as `run`."""
        context = self._nft._Nftables__ctx  # the binding offers the library's functions, but no method for this one
        self._nft.nft_ctx_set_dry_run(context, True)
        try:
            self.run(text, what)
        finally:
            self._nft.nft_ctx_set_dry_run(context, False)

    def table(self, name: str, *, counters: bool = False) -> str | None:
        """The listing of our table, or None when there is none."""
        self._nft.set_stateless_output(not counters)
        try:
            return self.run(f"list table inet {name}", f"list table {name}")
        except Rejected as rejected:
            if rejected.missing:
                return None
            raise
        finally:
            self._nft.set_stateless_output(True)

    def tables(self) -> list[str]:
        """Names of the inet tables here."""
        return re.findall(r"^table inet (\S+)$", self.run("list tables inet", "list tables"), re.MULTILINE)


def _netlink_fds() -> set[int]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                found.add(int(name))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
    return found
