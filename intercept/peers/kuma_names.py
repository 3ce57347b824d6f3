"""What Kuma calls its transparent-proxy settings: as flags, as environment variables, as keys of its file."""

from collections.abc import Iterator
from dataclasses import dataclass

from intercept.peers.goflags import Flag, Kind

PREFIX = "KUMA_TRANSPARENT_PROXY_"


@dataclass(frozen=True, slots=True)
class Name:
    """One setting. key: its path in the file; variable: without PREFIX; flag: None if the command line has none."""

    key: str
    flag: str | None = None
    kind: Kind = Kind.TEXT
    ignored: bool = False

    @property
    def name(self) -> str:
        """What it is called among our settings: the long flag's name, else the key."""
        return self.flag or self.key

    @property
    def variable(self) -> str:
        return _VARIABLES.get(self.key) or "_".join(_words(part) for part in self.key.split(".")).upper()


def _words(camel: str) -> str:
    return "".join(f"_{letter}" if letter.isupper() else letter for letter in camel)


# Where Kuma's own tags say otherwise than the rule does.
_VARIABLES = {
    "kumaDPUser": "KUMA_DP_USER",
    "redirect.inbound.excludePortsForIPs": "REDIRECT_INBOUND_EXCLUDE_PORTS_FOR_IPS",
    "redirect.inbound.excludePortsForUIDs": "REDIRECT_INBOUND_EXCLUDE_PORTS_FOR_UIDS",
    "redirect.outbound.excludePortsForIPs": "REDIRECT_OUTBOUND_EXCLUDE_PORTS_FOR_IPS",
    "redirect.outbound.excludePortsForUIDs": "REDIRECT_OUTBOUND_EXCLUDE_PORTS_FOR_UIDS",
    "ebpf.instanceIP": "EBPF_INSTANCE_IP",
    "ebpf.instanceIPEnvVarName": "EBPF_INSTANCE_IP_ENV_VAR_NAME",
}

_FLOW = "insertRedirectInsteadOfAppend"
NAMES = (
    Name("kumaDPUser", "kuma-dp-user"),
    Name("ipFamilyMode", "ip-family-mode"),
    Name("redirect.inbound.enabled", "redirect-inbound", Kind.BOOL),
    Name("redirect.inbound.port", "redirect-inbound-port"),
    Name("redirect.inbound.includePorts"),
    Name("redirect.inbound.excludePorts", "exclude-inbound-ports"),
    Name("redirect.inbound.excludePortsForIPs", "exclude-inbound-ips", Kind.LIST),
    Name("redirect.inbound.excludePortsForUIDs", kind=Kind.LIST, ignored=True),
    Name(f"redirect.inbound.{_FLOW}", "redirect-inbound-insert-instead-of-append", Kind.BOOL, ignored=True),
    Name("redirect.outbound.enabled", kind=Kind.BOOL),
    Name("redirect.outbound.port", "redirect-outbound-port"),
    Name("redirect.outbound.includePorts"),
    Name("redirect.outbound.excludePorts", "exclude-outbound-ports"),
    Name("redirect.outbound.excludePortsForIPs", "exclude-outbound-ips", Kind.LIST),
    Name("redirect.outbound.excludePortsForUIDs", "exclude-outbound-ports-for-uids", Kind.LIST),
    Name(f"redirect.outbound.{_FLOW}", "redirect-outbound-insert-instead-of-append", Kind.BOOL, ignored=True),
    Name("redirect.dns.enabled", "redirect-dns", Kind.BOOL),
    Name("redirect.dns.port", "redirect-dns-port"),
    Name("redirect.dns.captureAll", "redirect-all-dns-traffic", Kind.BOOL),
    Name("redirect.dns.skipConntrackZoneSplit", "skip-dns-conntrack-zone-split", Kind.BOOL, ignored=True),
    Name("redirect.dns.resolvConfigPath"),
    Name("redirect.vnet.networks", "vnet", Kind.LIST),
    Name("ebpf.enabled", "ebpf-enabled", Kind.BOOL),
    Name("ebpf.instanceIP", "ebpf-instance-ip", ignored=True),
    Name("ebpf.instanceIPEnvVarName", ignored=True),
    Name("ebpf.bpffsPath", "ebpf-bpffs-path", ignored=True),
    Name("ebpf.cgroupPath", "ebpf-cgroup-path", ignored=True),
    Name("ebpf.programsSourcePath", "ebpf-programs-source-path", ignored=True),
    Name("ebpf.tcAttachIface", "ebpf-tc-attach-iface", ignored=True),
    Name("retry.maxRetries", "max-retries", Kind.INT, ignored=True),
    Name("retry.sleepBetweenRetries", "sleep-between-retries", Kind.DURATION, ignored=True),
    Name("iptablesExecutables", "iptables-executables", ignored=True),
    Name("log.enabled", "iptables-logs", Kind.BOOL, ignored=True),
    Name("log.level", ignored=True),
    Name("comments.disabled", "disable-comments", Kind.BOOL, ignored=True),
    Name("wait", "wait", Kind.INT),
    Name("waitInterval", "wait-interval", Kind.INT, ignored=True),
    Name("dropInvalidPackets", "drop-invalid-packets", Kind.BOOL),
    Name("storeFirewalld", "store-firewalld", Kind.BOOL, ignored=True),
    Name("cniMode", kind=Kind.BOOL, ignored=True),
    Name("dryRun", "dry-run", Kind.BOOL),
    Name("verbose", "verbose", Kind.BOOL, ignored=True),
)

# Flags that stand for no key: Kuma's own deprecated ones, those of kumactl itself, and where its file is.
_FLAGS_ALONE = (
    Flag("kuma-dp-uid"),
    Flag("ipv6-disabled", kind=Kind.BOOL),
    Flag("redirect-inbound-port-v6"),
    Flag("exclude-outbound-tcp-ports-for-uids", kind=Kind.LIST),
    Flag("exclude-outbound-udp-ports-for-uids", kind=Kind.LIST),
    Flag("redirect-dns-upstream-target-chain", ignored=True),
    Flag("skip-resolv-conf", kind=Kind.BOOL, ignored=True),
    Flag("modify-resolv-conf", kind=Kind.BOOL, ignored=True),
    Flag("modify-iptables", kind=Kind.BOOL, ignored=True),
    Flag("kuma-cp-ip", ignored=True),
    Flag("config"),
    Flag("config-file"),
    Flag("api-timeout", kind=Kind.DURATION, ignored=True),
    Flag("log-level", ignored=True),
    Flag("no-config", kind=Kind.BOOL, ignored=True),
)


def _flags() -> Iterator[Flag]:
    for one in NAMES:
        if one.flag is not None:
            yield Flag(one.flag, kind=one.kind, ignored=one.ignored)
    yield from _FLAGS_ALONE


FLAGS = tuple(_flags())
SETTINGS = (*FLAGS, *(Flag(one.name, kind=one.kind, ignored=one.ignored) for one in NAMES if one.flag is None))
"""FLAGS, and the settings that only the environment and the file know."""
