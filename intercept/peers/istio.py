"""istio-iptables: its flags, environment variables and defaults."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network

from intercept.errors import BadInput, Unsupported
from intercept.intent import parsing
from intercept.intent.intent import Dns, Exempt, IdRange, Inbound, Intent, Ipv6, Mode, Outbound, PortRange, SelfCalls
from intercept.peers.goflags import Flag, Given, Kind, Style, Values, parse
from intercept.peers.settings import Settings, id_ranges, ids, interfaces, listeners, port, ports, ports_or_all, united
from intercept.peers.translated import PASSTHROUGH_SOURCES, Action, Translated

COMMAND = ("pilot-agent", "istio-iptables")
_LOGGING = ("caller", "output_level", "rotate", "stacktrace_level", "target")
FLAGS = (
    Flag("envoy-port", "p"),
    Flag("inbound-capture-port", "z"),
    Flag("inbound-tunnel-port", "e"),
    Flag("proxy-uid", "u"),
    Flag("proxy-gid", "g"),
    Flag("istio-inbound-interception-mode", "m"),
    Flag("istio-inbound-tproxy-mark", "t"),
    Flag("istio-inbound-tproxy-route-table", "r"),
    Flag("istio-inbound-ports", "b"),
    Flag("istio-local-exclude-ports", "d"),
    Flag("istio-exclude-interfaces", "c"),
    Flag("istio-service-cidr", "i"),
    Flag("istio-service-exclude-cidr", "x"),
    Flag("istio-outbound-ports", "q"),
    Flag("istio-local-outbound-ports-exclude", "o"),
    Flag("kube-virt-interfaces", "k"),
    Flag("dry-run", "n", Kind.BOOL),
    Flag("skip-rule-apply", kind=Kind.BOOL),
    Flag("run-validation", kind=Kind.BOOL),
    Flag("redirect-dns", kind=Kind.BOOL),
    Flag("capture-all-dns", kind=Kind.BOOL),
    Flag("drop-invalid", kind=Kind.BOOL),
    Flag("dual-stack", kind=Kind.BOOL),
    Flag("network-namespace"),
    Flag("cleanup-only", kind=Kind.BOOL),
    Flag("iptables-probe-port", kind=Kind.INT, ignored=True),
    Flag("probe-timeout", kind=Kind.DURATION, ignored=True),
    Flag("cni-mode", kind=Kind.BOOL, ignored=True),
    Flag("reconcile", kind=Kind.BOOL, ignored=True),
    Flag("force-apply", kind=Kind.BOOL, ignored=True),
    Flag("native-nftables", kind=Kind.BOOL, ignored=True),
    Flag("force-iptables-binary", ignored=True),
    # of earlier releases
    Flag("restore-format", "f", Kind.BOOL, ignored=True),
    Flag("iptables-trace-logging", kind=Kind.BOOL, ignored=True),
    Flag("iptables-version", ignored=True),
    Flag("host-nsenter-exec", kind=Kind.BOOL, ignored=True),
    Flag("output-paths", ignored=True),
    # of pilot-agent, whose command this is
    Flag("log_as_json", kind=Kind.BOOL, ignored=True),
    *(Flag(f"log_{name}", ignored=True) for name in _LOGGING),
    *(Flag(f"log_rotate_max_{name}", kind=Kind.INT, ignored=True) for name in ("age", "backups", "size")),
    Flag("vklog", ignored=True),
)
# Each flag's variable is its name in capitals, but for the one that has none. Where a second name exists it wins.
_WITHOUT_VARIABLE = {"envoy-port"}
_SECOND_NAMES = {
    "redirect-dns": "ISTIO_META_DNS_CAPTURE",
    "drop-invalid": "INVALID_DROP",
    "dual-stack": "ISTIO_DUAL_STACK",
}
_GROUPS = "ISTIO_OUTBOUND_OWNER_GROUPS"
_GROUPS_EXCLUDE = "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE"
_LOOPBACK_CIDR = "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR"
_DEFAULT_ID = "1337"


def read(argv: Sequence[str], environ: Mapping[str, str]) -> Translated:
    """Raises BadInput for what istio-iptables would choke on (or misread), Unsupported for what can't be had here."""
    given = parse(FLAGS, argv, style=Style.PFLAG, command=COMMAND)
    settings = Settings("istio", FLAGS, (given, _from_environment(environ)))
    uid = _or_default(settings.given("proxy-uid", ""), _DEFAULT_ID)
    gid = _or_default(settings.given("proxy-gid", ""), uid.text)
    if environ.get("ENVOY_USER") and not settings.text("proxy-uid"):
        settings.note(f"ENVOY_USER is not looked up: the proxy is taken to be user {_DEFAULT_ID} (--proxy-uid)")
    inbound = _inbound(settings)
    intent = Intent(
        mode=_mode(settings),
        listeners=listeners(settings.given("envoy-port", "15001"), settings.given("inbound-capture-port", "15006")),
        outbound=_outbound(settings, environ),
        inbound=inbound,
        exempt=Exempt(uids=ids(uid), gids=ids(gid), sources=PASSTHROUGH_SOURCES),
        exclude_interfaces=interfaces(settings.given("istio-exclude-interfaces", "")),
        virtual_interfaces=interfaces(settings.given("kube-virt-interfaces", "")),
        self_calls=SelfCalls.HAIRPIN,
        dns=_dns(settings),
        ipv6=Ipv6.REQUIRED if settings.switch("dual-stack") else Ipv6.AUTO,
        drop_invalid=settings.switch("drop-invalid"),
        tproxy_mark=_tproxy_mark(settings),
        tproxy_table=_tproxy_table(settings),
        inbound_explicit=inbound.include_ports != (),
    )
    _check_loopback_cidr(settings, environ)
    return Translated(
        intent,
        action=_action(settings),
        dry_run=settings.switch("dry-run"),
        netns=settings.text("network-namespace") or None,
        notes=tuple(settings.notes),
    )


def _from_environment(environ: Mapping[str, str]) -> Values:
    found: Values = {}
    for flag in FLAGS:
        first = flag.name.upper().replace("-", "_")
        for variable in (first, _SECOND_NAMES.get(flag.name, first)):
            text = environ.get(variable)
            if text is None or flag.name in _WITHOUT_VARIABLE or (flag.ignored and not text):
                continue
            found[flag.name] = [Given(variable, text)]
    return found


def _or_default(given: Given, default: str) -> Given:
    return given if given.text else Given(given.where, default)


def _mode(settings: Settings) -> Mode:
    given = settings.given("istio-inbound-interception-mode", "")
    chosen = parsing.choice(given.where, given.text, ("REDIRECT", "TPROXY", ""))
    return Mode.TPROXY if chosen == "TPROXY" else Mode.AUTO


def _tproxy_mark(settings: Settings) -> int:
    given = _or_default(settings.given("istio-inbound-tproxy-mark", ""), "1337")
    return parsing.mark(given.where, given.text)


def _tproxy_table(settings: Settings) -> int:
    given = _or_default(settings.given("istio-inbound-tproxy-route-table", ""), "133")
    return parsing.table(given.where, given.text)


def _outbound(settings: Settings, environ: Mapping[str, str]) -> Outbound:
    excluded = settings.given("istio-service-exclude-cidr", "")
    if parsing.EVERYTHING in parsing.items(excluded.text):
        raise BadInput(excluded.where, parsing.EVERYTHING, "networks to leave alone; to capture nothing leave -i empty")
    include_gids, exclude_gids = _groups(settings, environ)
    return Outbound(
        include_cidrs=settings.networks_or_all(settings.given("istio-service-cidr", "")),
        exclude_cidrs=settings.networks(excluded),
        include_ports=ports(settings.given("istio-outbound-ports", "")),
        exclude_ports=ports(settings.given("istio-local-outbound-ports-exclude", "")),
        include_gids=include_gids,
        exclude_gids=exclude_gids,
    )


def _groups(settings: Settings, environ: Mapping[str, str]) -> tuple[tuple[IdRange, ...] | None, tuple[IdRange, ...]]:
    included = environ.get(_GROUPS, parsing.EVERYTHING)
    excluded = id_ranges(Given(_GROUPS_EXCLUDE, environ.get(_GROUPS_EXCLUDE, "")))
    include = parsing.id_ranges_or_all(_GROUPS, included)
    if include is not None and excluded:
        settings.note(f"{_GROUPS_EXCLUDE} is ignored, as Istio does when {_GROUPS} lists groups")
        excluded = ()
    return include, excluded


def _inbound(settings: Settings) -> Inbound:
    """The tunnel port is never captured; other exclusions count only where everything is included."""
    included = ports_or_all(settings.given("istio-inbound-ports", ""))
    excluded_given = settings.given("istio-local-exclude-ports", "")
    excluded = ports(excluded_given)
    tunnel = port(settings.given("inbound-tunnel-port", "15008"))
    if included is not None and excluded:
        if included:
            settings.note(f"{excluded_given.where} is ignored, as Istio does when inbound ports are listed (-b)")
        excluded = ()
    return Inbound(include_ports=included, exclude_ports=united(excluded, (PortRange(tunnel, tunnel),)))


def _dns(settings: Settings) -> Dns:
    if not settings.switch("redirect-dns"):
        if settings.switch("capture-all-dns"):
            settings.note("--capture-all-dns has no effect without --redirect-dns, as in Istio")
        return Dns.OFF
    return Dns.ALL if settings.switch("capture-all-dns") else Dns.RESOLVERS


def _check_loopback_cidr(settings: Settings, environ: Mapping[str, str]) -> None:
    """Istio means: loopback addresses the proxy dials without being led to itself. Here that is all of 127.0.0.0/8."""
    text = environ.get(_LOOPBACK_CIDR)
    if not text:
        return
    networks = settings.networks(Given(_LOOPBACK_CIDR, text))
    if len(networks) != 1 or not isinstance(networks[0], IPv4Network):
        raise BadInput(_LOOPBACK_CIDR, text, "one IPv4 network")
    if not networks[0].subnet_of(IPv4Network("127.0.0.0/8")):
        raise Unsupported(f"{_LOOPBACK_CIDR}={text} cannot be met: loopback is 127.0.0.0/8 here. Give a network within")
    if str(networks[0]) not in ("127.0.0.1/32", "127.0.0.0/8"):
        settings.note(f"{_LOOPBACK_CIDR} has no meaning here: no address of 127.0.0.0/8 is captured unless -i lists it")


def _action(settings: Settings) -> Action:
    if settings.switch("cleanup-only"):
        return Action.CLEANUP
    if settings.switch("skip-rule-apply"):
        return Action.CHECK
    return Action.APPLY_THEN_CHECK if settings.switch("run-validation") else Action.APPLY
