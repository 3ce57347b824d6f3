"""`kumactl install transparent-proxy`: its settings and defaults. Command line, then environment, then file."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from intercept.errors import BadInput, Unsupported
from intercept.intent import parsing
from intercept.intent.intent import (
    Dns,
    Exempt,
    Inbound,
    Intent,
    Ipv6,
    Mode,
    Outbound,
    PortRange,
    SelfCalls,
    UserPortExclusion,
)
from intercept.peers.goflags import Given, Kind, Style, Values, go_int, parse
from intercept.peers.kuma_file import values_in
from intercept.peers.kuma_names import FLAGS, NAMES, PREFIX, SETTINGS
from intercept.peers.settings import Settings, listeners, ports
from intercept.peers.translated import PASSTHROUGH_SOURCES, Translated

COMMAND = ("kumactl", "install", "transparent-proxy")
_DEFAULT_UID = "5678"
_RESOLV_CONF = "/etc/resolv.conf"
# What --redirect-inbound-port-v6 was by default in this release and that.
_OLD_V6_PORTS = ("", "15006", "15010")


def read(argv: Sequence[str], environ: Mapping[str, str], file_text: Callable[[str], str]) -> Translated:
    """`file_text` reads a file by its name ("-": standard input). Raises BadInput, Unsupported."""
    flags = parse(FLAGS, argv, style=Style.PFLAG, command=COMMAND)
    if "kuma-dp-uid" in flags:
        flags.setdefault("kuma-dp-user", flags["kuma-dp-uid"])
    settings = Settings("kuma", SETTINGS, (flags, _from_environment(environ), _from_file(flags, file_text)))
    _name_unknown_variables(settings, environ)
    if settings.values("vnet"):
        raise Unsupported(
            f"{settings.values('vnet')[0].where} cannot be met: a network is not kept apart for one interface here. "
            "Without --from, tidegate init --virtual-interfaces captures what arrives on an interface"
        )
    user = settings.given("kuma-dp-user", _DEFAULT_UID)
    intent = Intent(
        mode=Mode.EBPF if settings.switch("ebpf-enabled") else Mode.AUTO,
        listeners=listeners(
            settings.given("redirect-outbound-port", "15001"),
            settings.given("redirect-inbound-port", "15006"),
            settings.given("redirect-dns-port", "15053"),
        ),
        outbound=_outbound(settings),
        inbound=_inbound(settings),
        exempt=Exempt(uids=(parsing.one_id(user.where, user.text),), gids=(), sources=PASSTHROUGH_SOURCES),
        self_calls=SelfCalls.HAIRPIN,
        dns=_dns(settings, flags),
        ipv6=_ipv6(settings),
        drop_invalid=settings.switch("drop-invalid-packets"),
        inbound_explicit=bool(settings.values("redirect.inbound.includePorts")),
    )
    return Translated(intent, dry_run=settings.switch("dry-run"), wait_s=_wait(settings), notes=tuple(settings.notes))


def _from_environment(environ: Mapping[str, str]) -> Values:
    found: Values = {}
    for one in NAMES:
        text = environ.get(PREFIX + one.variable)
        if text is None or (not text and one.kind is not Kind.BOOL):
            continue
        texts = text.split(",") if one.kind is Kind.LIST else [text]
        found[one.name] = [Given(PREFIX + one.variable, item) for item in texts]
    return found


def _name_unknown_variables(settings: Settings, environ: Mapping[str, str]) -> None:
    known = {PREFIX + one.variable for one in NAMES}
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and variable not in known:
            settings.note(f"{variable} is not a setting of Kuma's and is ignored")


def _from_file(flags: Values, file_text: Callable[[str], str]) -> Values:
    inline = flags.get("config", [Given("", "")])[-1].text
    path = flags.get("config-file", [Given("", "")])[-1].text
    if inline and path:
        raise BadInput("--config", "--config-file", "only one of the two")
    if inline == "-":
        raise BadInput("--config", "-", "the configuration itself; for standard input say --config-file -")
    if inline:
        return values_in(inline, "--config")
    return values_in(file_text(path), path) if path else {}


def _outbound(settings: Settings) -> Outbound:
    """Where ports are included, they are all that is captured, and excluded ports mean nothing: so it is in Kuma."""
    included = ports(settings.joined("redirect.outbound.includePorts"))
    excluded = ports(settings.joined("exclude-outbound-ports"))
    off = not settings.switch("redirect.outbound.enabled", default=True)
    if included and excluded:
        _note_excluded(settings, "outbound")
        excluded = ()
    return Outbound(
        include_cidrs=() if included or off else None,
        exclude_cidrs=settings.networks(settings.joined("exclude-outbound-ips")),
        include_ports=() if off else included,
        exclude_ports=excluded,
        exclude_for=tuple(dict.fromkeys(_excluded_for(settings))),
    )


def _inbound(settings: Settings) -> Inbound:
    included = ports(settings.joined("redirect.inbound.includePorts"))
    excluded = ports(settings.joined("exclude-inbound-ports"))
    off = not settings.switch("redirect-inbound", default=True)
    if included and excluded:
        _note_excluded(settings, "inbound")
        excluded = ()
    captured: tuple[PortRange, ...] | None = () if off else (included or None)
    return Inbound(
        include_ports=captured,
        exclude_ports=excluded,
        exclude_cidrs=settings.networks(settings.joined("exclude-inbound-ips")),
    )


def _note_excluded(settings: Settings, direction: str) -> None:
    where = settings.joined(f"exclude-{direction}-ports").where
    settings.note(f"{where} is ignored, as Kuma does when {direction} ports are listed (includePorts)")


def _excluded_for(settings: Settings) -> Iterator[UserPortExclusion]:
    for given in settings.values("exclude-outbound-ports-for-uids"):
        if given.text.strip():
            yield parsing.user_port_exclusion(given.where, _any_spelled_out(given.text))
    for protocol in ("tcp", "udp"):
        for given in settings.values(f"exclude-outbound-{protocol}-ports-for-uids"):
            yield parsing.user_port_exclusion(given.where, f"{protocol}:{_any_spelled_out(given.text)}")


def _any_spelled_out(rule: str) -> str:
    """Kuma lets protocol and ports be empty where they mean any."""
    *parts, users = rule.split(":")
    return ":".join([*(part.strip() or parsing.EVERYTHING for part in parts), users])


def _dns(settings: Settings, flags: Values) -> Dns:
    every, listed = settings.switch("redirect-all-dns-traffic"), settings.switch("redirect-dns")
    if every and listed and "redirect-all-dns-traffic" in flags and "redirect-dns" in flags:
        raise BadInput("--redirect-all-dns-traffic", "--redirect-dns", "only one of the two, as in Kuma")
    if every:
        return Dns.ALL
    path = settings.given("redirect.dns.resolvConfigPath", _RESOLV_CONF)
    if listed and path.text != _RESOLV_CONF:
        raise Unsupported(f"{path.where}: {path.text} cannot be met: the servers are read from {_RESOLV_CONF}")
    return Dns.RESOLVERS if listed else Dns.OFF


def _ipv6(settings: Settings) -> Ipv6:
    mode = settings.given("ip-family-mode", "dualstack")
    chosen = parsing.choice(mode.where, mode.text.lower() or "dualstack", ("dualstack", "ipv4"))
    old_port = settings.given("redirect-inbound-port-v6", "")
    if chosen == "ipv4" or settings.switch("ipv6-disabled") or old_port.text == "0":
        return Ipv6.OFF
    if old_port.text not in (*_OLD_V6_PORTS, settings.text("redirect-inbound-port", "15006")):
        raise Unsupported(
            f"{old_port.where} {old_port.text} cannot be met: one inbound listener serves both families here"
        )
    return Ipv6.AUTO


def _wait(settings: Settings) -> float | None:
    given = settings.value("wait")
    return None if given is None else parsing.seconds(given.where, str(go_int(given)))
