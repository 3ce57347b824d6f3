"""The network of the lab: who has which address, and where a packet to anywhere else ends.

    GUEST 10.0.2.2 ---- vnet0 10.0.2.1  APP  eth0 10.0.0.2 ---- 10.0.0.1 eth0  PEER
    fd02::2             fd02::1              fd00::2            fd00::1
                                        net1 10.0.1.2 ---- 10.0.1.1 net1
                                             fd01::2            fd01::1

APP has routes to PEER for a handful of public-looking addresses, which are local in PEER; nothing has a route to the
outside, and no namespace is connected to the host's. GUEST is what lives behind a bridge of the workload: its traffic
is forwarded by APP.
"""

from __future__ import annotations

from tests.lab.namespaces import Namespace, batch

FAR_V4 = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "8.8.8.8/32", "1.2.3.0/24")
FAR_V6 = ("2001:db8::/32", "2001:4860:4860::8888/128")


def link(near: tuple[Namespace, str], far: tuple[Namespace, str], net4: str, net6: str) -> None:
    """A veth pair that never was in the host's namespace; `near` gets .2, `far` gets .1."""
    batch(near[0], [f"link add {near[1]} type veth peer name {far[1]} netns {far[0].name}"])
    for (namespace, name), last in ((near, 2), (far, 1)):
        batch(
            namespace,
            [
                f"addr add {net4}{last}/24 dev {name}",
                f"addr add {net6}{last}/64 dev {name} nodad",
                # a router asks for its neighbours from a link-local address
                f"addr add fe80::{last}/64 dev {name} nodad",
                f"link set {name} up",
            ],
        )


def build(app: Namespace, peer: Namespace, guest: Namespace) -> None:
    for namespace in (app, peer, guest):
        # the kernel's own link-local addresses come late and would make two snapshots differ
        namespace.sysctl("net/ipv6/conf/default/addr_gen_mode", "1")
        namespace.sysctl("net/ipv6/conf/all/accept_dad", "0")
        namespace.sysctl("net/ipv6/conf/default/accept_dad", "0")
        namespace.sysctl("net/ipv6/conf/default/accept_ra", "0")
        batch(namespace, ["link set lo up"])
    link((app, "eth0"), (peer, "eth0"), "10.0.0.", "fd00::")
    link((app, "net1"), (peer, "net1"), "10.0.1.", "fd01::")
    link((guest, "eth0"), (app, "vnet0"), "10.0.2.", "fd02::")
    batch(app, [f"route add {net} via 10.0.0.1" for net in FAR_V4] + [f"route add {net} via fd00::1" for net in FAR_V6])
    batch(
        peer,
        ["addr add 10.0.0.53/24 dev eth0", "addr add fd00::53/64 dev eth0 nodad preferred_lft 0"]
        + [f"route add local {net} dev lo" for net in FAR_V4 + FAR_V6]
        + ["route add 10.0.2.0/24 via 10.0.0.2", "route add fd02::/64 via fd00::2"],
    )
    batch(guest, ["route add default via 10.0.2.1", "route add default via fd02::1"])
    app.sysctl("net/ipv4/ip_unprivileged_port_start", "0")  # the workload serves port 22 as an ordinary user
    app.sysctl("net/ipv4/ip_forward", "1")
    app.sysctl("net/ipv6/conf/all/forwarding", "1")
