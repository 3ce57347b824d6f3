"""`consul connect redirect-traffic`: its flags and defaults. What it would ask a Consul agent for can't be had here."""

import re
from collections.abc import Mapping, Sequence

from intercept.errors import BadInput, Unsupported
from intercept.intent.intent import Exempt, Inbound, Intent, Outbound, PortRange, SelfCalls
from intercept.peers.goflags import Flag, Given, Kind, Style, go_int, parse
from intercept.peers.settings import Settings, ids, listeners, ports
from intercept.peers.translated import Translated

COMMAND = ("consul", "connect", "redirect-traffic")
_AGENT = (
    *("http-addr", "token", "token-file", "ca-file", "ca-path", "client-cert", "client-key", "tls-server-name"),
    *("namespace", "partition", "datacenter"),
)
FLAGS = (
    Flag("proxy-uid"),
    Flag("proxy-inbound-port", kind=Kind.INT),
    Flag("proxy-outbound-port", kind=Kind.INT),
    Flag("exclude-inbound-port", kind=Kind.LIST),
    Flag("exclude-outbound-port", kind=Kind.LIST),
    Flag("exclude-outbound-cidr", kind=Kind.LIST),
    Flag("exclude-uid", kind=Kind.LIST),
    Flag("netns"),
    Flag("proxy-id"),
    Flag("node-name"),
    Flag("consul-dns-ip"),
    Flag("consul-dns-port", kind=Kind.INT),
    *(Flag(name, ignored=True) for name in _AGENT),
)
_COLON_RANGE = re.compile(r"([0-9]+):([0-9]+)", re.ASCII)


def read(argv: Sequence[str], environ: Mapping[str, str]) -> Translated:  # noqa: ARG001  # every tool's shape
    """Raises BadInput; Unsupported for settings that live in Consul and for its DNS."""
    settings = Settings("consul", FLAGS, (parse(FLAGS, argv, style=Style.GO, command=COMMAND),))
    _refuse_what_cannot_be_had(settings)
    proxy_uid = settings.value("proxy-uid")
    if proxy_uid is None or not ids(proxy_uid):
        raise BadInput("-proxy-uid", "", "the proxy's numeric user id; it has to be given")
    inbound = settings.value("proxy-inbound-port")
    if inbound is None or go_int(inbound) == 0:
        raise BadInput("-proxy-inbound-port", "" if inbound is None else inbound.text, "one port; it has to be given")
    outbound = settings.given("proxy-outbound-port", "15001")
    # Consul, too, takes 0 for its default.
    outbound_port = go_int(outbound) or 15001
    intent = Intent(
        listeners=listeners(Given(outbound.where, str(outbound_port)), Given(inbound.where, str(go_int(inbound)))),
        outbound=Outbound(
            exclude_ports=_ports(settings.joined("exclude-outbound-port")),
            exclude_cidrs=settings.networks(settings.joined("exclude-outbound-cidr")),
        ),
        inbound=Inbound(exclude_ports=_ports(settings.joined("exclude-inbound-port"))),
        exempt=Exempt(uids=tuple(sorted({*ids(proxy_uid), *ids(settings.joined("exclude-uid"))})), gids=()),
        self_calls=SelfCalls.PROXY,
    )
    return Translated(intent, netns=settings.text("netns") or None, notes=tuple(settings.notes))


def _refuse_what_cannot_be_had(settings: Settings) -> None:
    for name in ("proxy-id", "node-name"):
        if settings.text(name):
            raise Unsupported(
                f"-{name} cannot be met: tidegate asks no Consul agent. Give -proxy-inbound-port, "
                "-proxy-outbound-port and the -exclude-… flags instead"
            )
    for name in ("consul-dns-ip", "consul-dns-port"):
        if settings.text(name) not in ("", "0"):
            raise Unsupported(
                f"-{name} cannot be met: DNS is only captured to a listener of the proxy (tidegate init --dns), not "
                "sent on to another server"
            )


def _ports(given: Given) -> tuple[PortRange, ...]:
    """Consul writes a range as 8080:9000."""
    return ports(Given(given.where, ",".join(_COLON_RANGE.sub(r"\1-\2", item) for item in given.text.split(","))))
