"""What other tools have put into a namespace: rules in every table, sets, routes. None of it is capture's to touch.

All of it lets traffic through, so that a test can still dial; the order of the rules is part of what must be kept.
"""

from __future__ import annotations

from tests.lab.namespaces import Namespace

NFT = """
table ip theirs_nat {
  set friends { type ipv4_addr; flags interval; elements = { 172.16.0.0/12, 192.168.7.7 }; }
  map ports { type inet_service : verdict; elements = { 1 : accept, 2 : return }; }
  chain pre {
    type nat hook prerouting priority -90; policy accept;
    ip daddr @friends tcp dport 4 dnat to 172.16.0.1
  }
  chain out {
    type nat hook output priority -110; policy accept;
    ip daddr 172.16.0.9 tcp dport 5 redirect to :6
    tcp dport vmap @ports comment "theirs"
  }
}
table inet theirs_filter {
  counter seen { }
  chain early {
    type filter hook prerouting priority raw; policy accept;
    tcp dport 7 notrack
  }
  chain mangled {
    type route hook output priority mangle; policy accept;
    tcp dport 8 meta mark set 0x99
  }
  chain last {
    type filter hook input priority 10; policy accept;
    counter name "seen"
  }
  chain unhooked {
    ip saddr 10.9.9.9 drop
  }
}
"""

LEGACY = (
    "-t nat -N THEIRS",
    "-t nat -A THEIRS -p tcp --dport 4001 -j RETURN",
    "-t nat -A OUTPUT -m comment --comment first -p tcp --dport 4002 -j THEIRS",
    "-t nat -A OUTPUT -m comment --comment second -p tcp --dport 4003 -j ACCEPT",
    "-t nat -A PREROUTING -p tcp --dport 4004 -j THEIRS",
    "-t nat -A POSTROUTING -m mark --mark 0x77 -j MASQUERADE",
    "-t raw -A PREROUTING -p udp --dport 4005 -j NOTRACK",
    "-t raw -A OUTPUT -p udp --dport 4005 -j NOTRACK",
    "-t mangle -N THEIR_MARKS",
    "-t mangle -A THEIR_MARKS -j MARK --set-xmark 0x5/0xff",
    "-t mangle -A OUTPUT -p tcp --dport 4006 -j THEIR_MARKS",
    "-t mangle -A PREROUTING -p tcp --dport 4007 -j MARK --set-xmark 0x6/0xff",
    "-t filter -A INPUT -p tcp --dport 4008 -j REJECT",
    "-t filter -A OUTPUT -p tcp --dport 4009 -j DROP",
)

OTHERS = (
    "ipset create THEIRS hash:net family inet",
    "ipset add THEIRS 172.20.0.0/16",
    "ipset create THEIRS_PORTS bitmap:port range 0-65535",
    "ip rule add fwmark 0x44 lookup 144 pref 1000",
    "ip rule add from 172.21.0.0/16 lookup 133 pref 1001",
    "ip -6 rule add fwmark 0x44 lookup 144 pref 1000",
    "ip route add 172.22.0.0/16 via 10.0.0.1",
    "ip route add 172.23.0.0/16 via 10.0.0.1 table 144",
    "ip route add 172.24.0.0/16 via 10.0.0.1 table 133",
    "ip -6 route add 2001:db8:44::/48 via fd00::1 table 144",
)


def install(namespace: Namespace) -> None:
    """Everything above; it goes with the namespace."""
    namespace.run(["nft", "-f", "-"], stdin=NFT)
    commands = [*OTHERS]
    commands += [f"{tool} {rule}" for tool in ("iptables-legacy", "ip6tables-legacy") for rule in LEGACY]
    namespace.run(["sh", "-e", "-c", "\n".join(commands)])
