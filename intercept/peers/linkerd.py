"""linkerd2-proxy-init: its flags and defaults. It reads no environment."""

from collections.abc import Mapping, Sequence

from intercept.errors import BadInput
from intercept.intent import parsing
from intercept.intent.intent import Exempt, Inbound, Intent, Ipv6, Listeners, Outbound, SelfCalls
from intercept.peers.goflags import Flag, Given, Kind, Style, go_int, parse
from intercept.peers.settings import Settings, listeners, ports
from intercept.peers.translated import Translated

COMMAND = ("proxy-init",)
FLAGS = (
    Flag("incoming-proxy-port", "p", Kind.INT),
    Flag("outgoing-proxy-port", "o", Kind.INT),
    Flag("proxy-uid", "u", Kind.INT),
    Flag("proxy-gid", "g", Kind.INT),
    Flag("ports-to-redirect", "r", Kind.LIST),
    Flag("inbound-ports-to-ignore", kind=Kind.LIST),
    Flag("outbound-ports-to-ignore", kind=Kind.LIST),
    Flag("subnets-to-ignore", kind=Kind.LIST),
    Flag("simulate", kind=Kind.BOOL),
    Flag("netns"),
    Flag("ipv6", kind=Kind.BOOL),
    Flag("use-wait-flag", "w", Kind.BOOL, ignored=True),
    Flag("timeout-close-wait-secs", kind=Kind.INT, ignored=True),
    Flag("log-format", ignored=True),
    Flag("log-level", ignored=True),
    Flag("iptables-mode", ignored=True),
    Flag("firewall-bin-path", ignored=True),
    Flag("firewall-save-bin-path", ignored=True),
)


def read(argv: Sequence[str], environ: Mapping[str, str]) -> Translated:  # noqa: ARG001  # every tool's shape
    """Raises BadInput."""
    settings = Settings("linkerd", FLAGS, (parse(FLAGS, argv, style=Style.PFLAG, command=COMMAND),))
    listed = ports(settings.joined("ports-to-redirect"))
    intent = Intent(
        listeners=_listeners(settings),
        outbound=Outbound(exclude_ports=ports(settings.joined("outbound-ports-to-ignore"))),
        inbound=Inbound(
            include_ports=listed or None,
            exclude_ports=ports(settings.joined("inbound-ports-to-ignore")),
            exclude_cidrs=settings.networks(settings.joined("subnets-to-ignore")),
        ),
        exempt=Exempt(uids=_identity(settings, "proxy-uid"), gids=_identity(settings, "proxy-gid")),
        self_calls=SelfCalls.BYPASS,
        ipv6=Ipv6.AUTO if settings.switch("ipv6", default=True) else Ipv6.OFF,
        inbound_explicit=bool(listed),
    )
    return Translated(
        intent,
        dry_run=settings.switch("simulate"),
        netns=settings.text("netns") or None,
        notes=tuple(settings.notes),
    )


def _listeners(settings: Settings) -> Listeners:
    inbound, outbound = (_port(settings, name) for name in ("incoming-proxy-port", "outgoing-proxy-port"))
    return listeners(outbound, inbound)


def _port(settings: Settings, name: str) -> Given:
    given = settings.value(name)
    if given is None:
        raise BadInput(f"--{name}", "", "one port, 1 to 65535; it has to be given")
    return Given(given.where, str(go_int(given)))


def _identity(settings: Settings, name: str) -> tuple[int, ...]:
    """Nobody unless the id is above 0: that is how proxy-init reads its default, -1, and 0."""
    given = settings.value(name)
    number = -1 if given is None else go_int(given)
    if given is None or number <= 0:
        return ()
    return (parsing.one_id(given.where, str(number)),)
