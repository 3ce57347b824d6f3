"""The vocabulary of a plan: conditions, verdicts, rules, chains. Renderers and `explain` read the same values."""

from enum import StrEnum

from intercept.intent.intent import IdRange, Intent, Mode, Network, PortRange
from intercept.intent.value import Value


class Protocol(Value):
    """Layer 4 protocol is one of these ("tcp", "udp")."""

    names: tuple[str, ...]


class Family(Value):
    """IP version, 4 or 6."""

    version: int


class DstPort(Value):
    """Only ever stands in a rule whose Protocol says tcp, udp or both, or in a chain that passed such a rule."""

    ranges: tuple[PortRange, ...]


class DstIn(Value):
    networks: tuple[Network, ...]


class SrcIn(Value):
    networks: tuple[Network, ...]


class DstOwn(Value):
    """The destination is an address of this network namespace (routing type `local`), loopback included."""


class Uid(Value):
    ranges: tuple[IdRange, ...]


class Gid(Value):
    """The owning process's effective group at the time the socket was made; supplementary groups don't count."""

    ranges: tuple[IdRange, ...]


class Mark(Value):
    value: int


class Interface(Value):
    """The interface a packet leaves by (outbound chains) or arrives at (inbound and virtual chains)."""

    names: tuple[str, ...]


class InCgroup(Value):
    """The sending socket's (outbound) or the listening socket's (inbound) cgroup is this folder or below it."""

    path: str


class Begun(Value):
    """The packet doesn't begin a connection: TCP without a lone SYN. Connections from before capture stay untouched."""


class Invalid(Value):
    """conntrack calls the packet INVALID."""


Plain = Protocol | Family | DstPort | DstIn | SrcIn | DstOwn | Uid | Gid | Mark | Interface | InCgroup | Begun | Invalid


class Not(Value):
    condition: Plain


Condition = Plain | Not


class Steer(StrEnum):
    REDIRECT = "redirect"
    TPROXY = "tproxy"


class Capture(Value):
    """To the listener on this port. With `--when-down open` the renderers add: while the proxy is alive."""

    port: int
    steer: Steer = Steer.REDIRECT


class Direct(Value):
    pass


class Refuse(Value):
    """Answered at once: TCP reset, or ICMP port unreachable."""


class Drop(Value):
    """Dropped in silence."""


class Judge(Value):
    """Judged by that other chain of the plan, for good: there is no way back."""

    chain: str


Verdict = Capture | Direct | Refuse | Drop | Judge


class Rule(Value):
    """All conditions hold -> verdict. Names are of a fixed vocabulary ([a-z0-9-]), so they may stand in any output."""

    name: str
    conditions: tuple[Condition, ...]
    verdict: Verdict
    reason: str


OUTBOUND = "outbound"
INBOUND = "inbound"
VIRTUAL = "virtual"


class Plan(Value):
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
    families: tuple[int, ...] = (4, 6)
    """IP versions that capture is put in force for."""
    cgroup_id: int | None = None
    """The kernel's id of the folder of `--cgroup`, as planned: a folder made again under its name has another."""

    def chain(self, name: str) -> tuple[Rule, ...]:
        return {OUTBOUND: self.outbound, INBOUND: self.inbound, VIRTUAL: self.virtual}[name]
