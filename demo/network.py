"""Two network namespaces joined by a veth pair, with no route to anywhere else."""

import os
import secrets
import subprocess
from dataclasses import dataclass
from types import TracebackType

APP4, PEER4 = "10.77.0.2", "10.77.0.1"
APP6, PEER6 = "fd77::2", "fd77::1"


def ip(*words: str) -> None:
    """Run one `ip` command; raises CalledProcessError with its message in stderr."""
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@dataclass(slots=True)
class Network:
    """`app` holds the legacy programs, `peer` the servers. A context manager: both are gone after it."""

    app: str = ""
    peer: str = ""

    def __enter__(self) -> "Network":
        tag = f"tg{os.getpid() % 100_000}{secrets.token_hex(2)}"
        self.app, self.peer = f"{tag}-app", f"{tag}-peer"
        try:
            for name in (self.app, self.peer):
                ip("netns", "add", name)
                ip("-n", name, "link", "set", "lo", "up")
            ip("-n", self.app, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", self.peer)
            for name, ipv4, ipv6 in ((self.app, APP4, APP6), (self.peer, PEER4, PEER6)):
                ip("-n", name, "addr", "add", f"{ipv4}/24", "dev", "eth0")
                ip("-n", name, "addr", "add", f"{ipv6}/64", "dev", "eth0", "nodad")
                # No link-local addresses: they would come up a second or two later, and tests compare routes.
                ip("-n", name, "link", "set", "eth0", "addrgenmode", "none")
                ip("-n", name, "link", "set", "eth0", "up")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        for name in (self.app, self.peer):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def inside(netns: str, *argv: str) -> list[str]:
    """The command line that runs `argv` in a namespace. Not `ip netns exec`: that hides cgroups and bpffs."""
    return ["nsenter", f"--net=/run/netns/{netns}", "--", *argv]
