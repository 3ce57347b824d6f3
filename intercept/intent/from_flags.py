"""`init`'s raw flag strings -> Intent. Free of click: documents and other tools' flags come the same way."""

from collections.abc import Callable, Mapping, Sequence

from intercept.errors import BadInput
from intercept.intent import parsing
from intercept.intent.intent import (
    Dns,
    Exempt,
    Inbound,
    Intent,
    Ipv6,
    Listeners,
    Mode,
    Outbound,
    SelfCalls,
    UserPortExclusion,
    WhenDown,
)

Raw = str | bool | int | Sequence[str] | None

FLAGS: tuple[str, ...] = (
    "mode",
    "outbound-port",
    "inbound-port",
    "dns-port",
    "telemetry-port",
    "include-outbound-cidrs",
    "exclude-outbound-cidrs",
    "include-outbound-ports",
    "exclude-outbound-ports",
    "include-inbound-ports",
    "exclude-inbound-ports",
    "exclude-inbound-cidrs",
    "include-outbound-gids",
    "exclude-outbound-gids",
    "exclude-outbound-for",
    "exclude-interfaces",
    "virtual-interfaces",
    "proxy-uid",
    "proxy-gid",
    "proxy-mark",
    "cgroup",
    "self-calls",
    "dns",
    "ipv6",
    "drop-invalid",
    "when-down",
    "tproxy-mark",
    "tproxy-table",
)
"""Every flag that makes up an Intent, by its long name without the dashes."""


def intent_from_flags(flags: Mapping[str, Raw], *, cgroup_mount: str | None = None) -> Intent:
    """The Intent that these flags ask for; a flag that is absent or None has the contract's default.

    `cgroup_mount`: where cgroup v2 is mounted here; a cgroup given by its full path is taken to be below it.
    Keys are names of FLAGS, `_` for `-` allowed. Values are strings as the user wrote them; `exclude-outbound-for` is
    a sequence of strings, `drop-invalid` a bool. Raises BadInput; KeyError for a key that is no flag.
    """
    given = {key.removeprefix("--").replace("_", "-"): value for key, value in flags.items() if value is not None}
    unknown = sorted(set(given) - set(FLAGS))
    if unknown:
        raise KeyError(f"not a flag of an intent: {', '.join(unknown)}")

    def text(name: str, default: str) -> str:
        value = given.get(name, default)
        if isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        raise TypeError(f"{name} wants a string, not {value!r}")

    exclude_cidrs = text("exclude-outbound-cidrs", "")
    if "*" in parsing.items(exclude_cidrs):
        raise BadInput(
            "--exclude-outbound-cidrs",
            "*",
            "networks to leave alone; to capture nothing say --include-outbound-cidrs ''",
        )
    return Intent(
        mode=Mode(parsing.choice("--mode", text("mode", "auto"), Mode)),
        listeners=_listeners(text),
        outbound=Outbound(
            include_cidrs=parsing.networks_or_all("--include-outbound-cidrs", text("include-outbound-cidrs", "*")),
            exclude_cidrs=parsing.networks("--exclude-outbound-cidrs", exclude_cidrs),
            include_ports=parsing.ports("--include-outbound-ports", text("include-outbound-ports", "")),
            exclude_ports=parsing.ports("--exclude-outbound-ports", text("exclude-outbound-ports", "")),
            include_gids=parsing.id_ranges_or_all("--include-outbound-gids", text("include-outbound-gids", "*")),
            exclude_gids=parsing.id_ranges("--exclude-outbound-gids", text("exclude-outbound-gids", "")),
            exclude_for=_exclude_for(given.get("exclude-outbound-for")),
        ),
        inbound=Inbound(
            include_ports=parsing.ports_or_all("--include-inbound-ports", text("include-inbound-ports", "*")),
            exclude_ports=parsing.ports("--exclude-inbound-ports", text("exclude-inbound-ports", "")),
            exclude_cidrs=parsing.networks("--exclude-inbound-cidrs", text("exclude-inbound-cidrs", "")),
        ),
        exempt=Exempt(
            uids=parsing.ids("--proxy-uid", text("proxy-uid", "1337")),
            gids=parsing.ids("--proxy-gid", text("proxy-gid", "1337")),
            mark=parsing.mark("--proxy-mark", text("proxy-mark", "")) if given.get("proxy-mark") is not None else None,
        ),
        exclude_interfaces=parsing.interfaces("--exclude-interfaces", text("exclude-interfaces", "")),
        virtual_interfaces=parsing.interfaces("--virtual-interfaces", text("virtual-interfaces", "")),
        cgroup=(
            parsing.cgroup("--cgroup", text("cgroup", ""), cgroup_mount) if given.get("cgroup") is not None else None
        ),
        self_calls=SelfCalls(parsing.choice("--self-calls", text("self-calls", "proxy"), SelfCalls)),
        dns=Dns(parsing.choice("--dns", text("dns", "off"), Dns)),
        ipv6=Ipv6(parsing.choice("--ipv6", text("ipv6", "auto"), Ipv6)),
        drop_invalid=_switch("drop-invalid", given.get("drop-invalid", False)),
        when_down=WhenDown(parsing.choice("--when-down", text("when-down", "closed"), WhenDown)),
        tproxy_mark=parsing.mark("--tproxy-mark", text("tproxy-mark", "1337")),
        tproxy_table=parsing.table("--tproxy-table", text("tproxy-table", "133")),
        inbound_explicit="include-inbound-ports" in given and bool(parsing.items(text("include-inbound-ports", ""))),
    )


def _listeners(text: Callable[[str, str], str]) -> Listeners:
    chosen: dict[str, int] = {}
    for name, default in (("outbound", "15001"), ("inbound", "15006"), ("dns", "15053"), ("telemetry", "15020")):
        flag = f"--{name}-port"
        value = parsing.port(flag, text(f"{name}-port", default))
        taken = next((other for other, number in chosen.items() if number == value), None)
        if taken is not None:
            raise BadInput(flag, str(value), f"a port other than the {taken} listener's")
        chosen[name] = value
    return Listeners(**chosen)


def _exclude_for(value: Raw) -> tuple[UserPortExclusion, ...]:
    if value is None:
        return ()
    if isinstance(value, (bool, int)):
        raise TypeError(f"exclude-outbound-for wants strings, not {value!r}")
    given = [value] if isinstance(value, str) else value
    return tuple(dict.fromkeys(parsing.user_port_exclusion("--exclude-outbound-for", item) for item in given))


def _switch(name: str, value: Raw) -> bool:
    if isinstance(value, bool):
        return value
    raise TypeError(f"{name} wants a bool, not {value!r}")


def seconds(flag: str, text: str) -> float:
    """`--wait`. Raises BadInput."""
    return parsing.seconds(flag, text)
