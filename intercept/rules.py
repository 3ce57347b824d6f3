"""The vocabulary of a plan: conditions, verdicts, rules, chains. Values only; renderers and `explain` read the same ones."""

from dataclasses import dataclass, field
from enum import StrEnum

from intercept.intent import IdRange, Intent, Mode, Network, PortRange


@dataclass(frozen=True, slots=True)
class Protocol:
    """Layer 4 protocol is one of these ("tcp", "udp")."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """IP version, 4 or 6."""

    version: int


@dataclass(frozen=True, slots=True)
class DstPort:
    """Only ever stands in a rule whose Protocol says tcp, udp or both, or in a chain that passed such a rule."""

    ranges: tuple[PortRange, ...]


@dataclass(frozen=True, slots=True)
class DstIn:
    networks: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class SrcIn:
    networks: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class DstOwn:
    """The destination is an address of this network namespace (routing type `local`), loopback included."""


@dataclass(frozen=True, slots=True)
class Uid:
    ranges: tuple[IdRange, ...]


@dataclass(frozen=True, slots=True)
class Gid:
    """The owning process's effective group at the time the socket was made; supplementary groups don't count."""

    ranges: tuple[IdRange, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    value: int


@dataclass(frozen=True, slots=True)
class Interface:
    """The interface a packet leaves by (outbound chains) or arrives at (inbound and virtual chains)."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InCgroup:
    """The sending socket's (outbound) or the listening socket's (inbound) cgroup is this folder or below it."""

    path: str


@dataclass(frozen=True, slots=True)
class Begun:
    """The packet doesn't begin a connection: TCP without a lone SYN. Connections from before capture stay untouched."""


@dataclass(frozen=True, slots=True)
class Invalid:
    """conntrack calls the packet INVALID."""


Plain = Protocol | Family | DstPort | DstIn | SrcIn | DstOwn | Uid | Gid | Mark | Interface | InCgroup | Begun | Invalid


@dataclass(frozen=True, slots=True)
class Not:
    condition: Plain


Condition = Plain | Not


class Steer(StrEnum):
    REDIRECT = "redirect"
    TPROXY = "tproxy"


@dataclass(frozen=True, slots=True)
class Capture:
    """To the listener on this port. With `--when-down open` the renderers add: while the proxy is alive."""

    port: int
    steer: Steer = Steer.REDIRECT


@dataclass(frozen=True, slots=True)
class Direct:
    pass


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answered at once: TCP reset, or ICMP port unreachable."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Dropped in silence."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Judged by that other chain of the plan, for good: there is no way back."""

    chain: str


Verdict = Capture | Direct | Refuse | Drop | Judge


@dataclass(frozen=True, slots=True)
class Rule:
    """All conditions hold -> verdict. Names are of a fixed vocabulary ([a-z0-9-]), so they may stand in any output."""

    name: str
    conditions: tuple[Condition, ...]
    verdict: Verdict
    reason: str


OUTBOUND = "outbound"
INBOUND = "inbound"
VIRTUAL = "virtual"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be in force. First match wins within a chain; no match means direct.

    `outbound` judges what processes of this namespace send; `inbound` what arrives; `virtual` what `inbound` hands
    over because it arrived on a virtual interface.
    """

    mode: Mode
    """Resolved: never AUTO."""
    intent: Intent
    outbound: tuple[Rule, ...]
    inbound: tuple[Rule, ...]
    virtual: tuple[Rule, ...] = ()
    not_captured: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    resolvers: tuple[str, ...] = ()
    """The servers of resolv.conf that `--dns resolvers` stands for, as planned."""
    families: tuple[int, ...] = field(default=(4, 6))
    """IP versions that capture is put in force for."""

    def chain(self, name: str) -> tuple[Rule, ...]:
        return {OUTBOUND: self.outbound, INBOUND: self.inbound, VIRTUAL: self.virtual}[name]
