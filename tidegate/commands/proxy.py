"""`tidegate proxy`: the sidecar in the foreground. Turns flags into ProxySettings; imports the proxy when it runs."""

from typing import Any, NoReturn

import click

MAX_WORKERS = 64
"""As many as the engine has room for (cext/engine/engine.h)."""


def _refuse(flag: str, token: object, allowed: str) -> NoReturn:
    raise click.UsageError(f"{flag}: {str(token)!r} is not valid: allowed is {allowed}")


def _number(low: int, high: int, what: str) -> Any:
    """A click callback for whole numbers from low to high; click's own types don't name the flag and what is allowed
    in one line, which the contract asks for."""

    def parse(_ctx: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            _refuse(parameter.opts[0], text, f"{what}, {low} to {high}")
        return int(text)

    return parse


def _seconds(low: float) -> Any:
    def parse(_ctx: click.Context, parameter: click.Parameter, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= 31_536_000:
            _refuse(parameter.opts[0], text, f"a number of seconds, {low:g} to 31536000")
        return value

    return parse


def _one_of(*allowed: str) -> Any:
    def parse(_ctx: click.Context, parameter: click.Parameter, text: str) -> str:
        if text not in allowed:
            _refuse(parameter.opts[0], text, " or ".join(allowed))
        return text

    return parse


_PORT = _number(0, 65535, "a port (0: any free one)")
_ID = _number(0, 4294967294, "a numeric id")


def _port_or_off(context: click.Context, parameter: click.Parameter, text: str) -> int | None:
    return None if text == "off" else int(_PORT(context, parameter, text))


@click.command("proxy")
@click.option(
    "--config",
    multiple=True,
    metavar="FILE|DIR",
    help="Configuration documents (repeatable). Read again when they change and on SIGHUP.",
)
@click.option("--outbound-port", default="15001", show_default=True, metavar="PORT", callback=_PORT)
@click.option("--inbound-port", default="15006", show_default=True, metavar="PORT", callback=_PORT)
@click.option(
    "--dns-port",
    default="15053",
    show_default=True,
    metavar="PORT|off",
    callback=_port_or_off,
    help="Where captured DNS is taken, UDP and TCP.",
)
@click.option(
    "--explicit-port",
    metavar="PORT",
    callback=_PORT,
    help="Be a plain HTTP proxy there, too, for programs that are told of one (curl -x): docs/http.md.",
)
@click.option(
    "--explicit-listen",
    metavar="LIST",
    help="Addresses of the explicit proxy, 0.0.0.0 or :: for all; default: 127.0.0.1,::1.",
)
@click.option(
    "--explicit-allow-link-local",
    is_flag=True,
    help="Let clients of the explicit proxy go to link-local addresses, where clouds keep credentials.",
)
@click.option(
    "--admin",
    default="127.0.0.1:15000",
    show_default=True,
    metavar="ADDR:PORT|off",
    help="Full admin endpoint; a loopback address.",
)
@click.option(
    "--telemetry",
    default="0.0.0.0:15020",
    show_default=True,
    metavar="ADDR:PORT|off",
    help="Read-only: /metrics, /healthz/ready, /healthz/live.",
)
@click.option(
    "--proxy-uid",
    default="1337",
    show_default=True,
    metavar="UID",
    callback=_ID,
    help="Whom to become when started as root.",
)
@click.option("--proxy-gid", default="1337", show_default=True, metavar="GID", callback=_ID)
@click.option(
    "--proxy-mark",
    metavar="N",
    callback=_number(1, 0xFFFFFFFF, "a packet mark"),
    help="SO_MARK of our upstream connections; needs CAP_NET_ADMIN.",
)
@click.option(
    "--lane",
    default="auto",
    show_default=True,
    metavar="auto|direct|splice|parsed",
    callback=_one_of("auto", "direct", "splice", "parsed"),
    help="For every destination that the lane can carry; what it can't is said.",
)
@click.option(
    "--workers",
    default="1",
    show_default=True,
    metavar="N",
    callback=_number(1, MAX_WORKERS, "a number of threads"),
    help="Threads that move bytes; decisions are made by one.",
)
@click.option("--connect-timeout", default="10", show_default=True, metavar="S", callback=_seconds(0.05))
@click.option("--idle-timeout", default="3600", show_default=True, metavar="S", callback=_seconds(0), help="0: none.")
@click.option(
    "--tcp-keepalive",
    default="300",
    show_default=True,
    metavar="S",
    callback=_number(0, 32767, "a number of seconds"),
    help="Without traffic for so long, both sides are asked whether they are there; 0: never.",
)
@click.option("--drain-timeout", default="20", show_default=True, metavar="S", callback=_seconds(0))
@click.option(
    "--max-connections",
    metavar="N",
    callback=_number(1, 4_000_000, "a number of connections"),
    help="Default: as many as RLIMIT_NOFILE allows.",
)
@click.option(
    "--inbound-original-dst",
    default="auto",
    show_default=True,
    metavar="auto|sockopt|sockname",
    callback=_one_of("auto", "sockopt", "sockname"),
)
@click.option(
    "--inbound-source",
    default="",
    metavar="LIST",
    help="Address to connect to the workload from, at most one a family (hairpin: 127.0.0.6,::6).",
)
@click.option(
    "--inbound-proxy-protocol",
    default="",
    metavar="LIST",
    help="Ports at which the workload expects the PROXY protocol, version 2; 8080/v1: version 1.",
)
@click.option(
    "--filter",
    "filter_file",
    metavar="FILE",
    help="Python file with on_request or on_response: docs/filters.md. Requests to Services go through it.",
)
@click.option("--ask-all", is_flag=True, hidden=True, help="Python decides each request; for tests.")
@click.option("--log-format", default="text", show_default=True, metavar="text|json", callback=_one_of("text", "json"))
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    metavar="LEVEL",
    callback=_one_of("debug", "info", "warning", "error"),
)
@click.option(
    "--seccomp",
    default="on",
    show_default=True,
    metavar="on|off",
    callback=_one_of("on", "off"),
    help="Whether we, and the companion of a proxy started as root, may make the system calls only that we need.",
)
@click.option(
    "--helper",
    default="auto",
    show_default=True,
    metavar="auto|required",
    callback=_one_of("auto", "required"),
    help="Started without root: take the helper of `tidegate init --helper` when there is one, or wait for it.",
)
@click.option("--supervisor-fd", hidden=True, callback=_number(3, 1 << 20, "an inherited descriptor"))
def proxy(**flags: Any) -> int:
    """Run the sidecar in the foreground: accept captured connections and forward them to where they were meant to go.

    SIGTERM drains and exits 0. Access log on stdout, everything else on stderr.
    """
    from tidegate.processes import have_standard_descriptors

    have_standard_descriptors()
    from proxy.core.lanes import LaneChoice
    from proxy.errors import ProxyError
    from proxy.settings import HelperChoice, InboundOriginalDst, LogFormat, ProxySettings

    if flags["explicit_port"] is None and (flags["explicit_listen"] or flags["explicit_allow_link_local"]):
        given = "--explicit-listen" if flags["explicit_listen"] else "--explicit-allow-link-local"
        raise click.UsageError(f"{given} is for the explicit proxy: --explicit-port must be given, too")
    try:
        settings = ProxySettings(
            outbound_port=flags["outbound_port"],
            inbound_port=flags["inbound_port"],
            dns_port=flags["dns_port"],
            explicit_port=flags["explicit_port"],
            explicit_listen=_explicit_addresses(flags["explicit_listen"]),
            explicit_link_local=flags["explicit_allow_link_local"],
            admin=_endpoint("--admin", flags["admin"], loopback_only=True),
            telemetry=_endpoint("--telemetry", flags["telemetry"], loopback_only=False),
            proxy_uid=flags["proxy_uid"],
            proxy_gid=flags["proxy_gid"],
            proxy_mark=flags["proxy_mark"],
            lane=LaneChoice(flags["lane"]),
            workers=flags["workers"],
            connect_timeout_s=flags["connect_timeout"],
            idle_timeout_s=flags["idle_timeout"],
            keepalive_s=flags["tcp_keepalive"],
            drain_timeout_s=flags["drain_timeout"],
            max_connections=flags["max_connections"],
            inbound_original_dst=InboundOriginalDst(flags["inbound_original_dst"]),
            inbound_sources=_sources(flags["inbound_source"]),
            announced=_announced(flags["inbound_proxy_protocol"]),
            filter=_file("--filter", flags["filter_file"]),
            ask_all=flags["ask_all"],
            log_format=LogFormat(flags["log_format"]),
            log_level=flags["log_level"],
            supervisor_fd=flags["supervisor_fd"],
            seccomp=flags["seccomp"] == "on",
            helper=HelperChoice(flags["helper"]),
        )
    except ProxyError as wrong:
        raise click.UsageError(str(wrong)) from None
    from tidegate.beside import companion, warden

    # Under `tidegate run` the supervisor looks after capture.
    companions = None
    if settings.supervisor_fd is None and settings.outbound_port and companion.may_watch():
        companions = warden.start(settings.outbound_port, filtered=settings.seccomp)
    # Imported after the fork: the companion needs none of it.
    from proxy.serve import serve

    return serve(settings, _source(flags["config"]), companions)


def _file(flag: str, path: str | None) -> Any:
    from pathlib import Path

    if path is None:
        return None
    found = Path(path).absolute()
    if not found.is_file():
        _refuse(flag, path, "a file that is there")
    return found


def _source(paths: tuple[str, ...]) -> Any:
    """What reads the configuration. Imported only when there is any: it costs tens of milliseconds."""
    if not paths:
        return None
    from mesh.sources.files import ConfigSource

    return ConfigSource(paths)


def _endpoint(flag: str, text: str, *, loopback_only: bool) -> Any:
    from proxy.core.addresses import is_loopback, parse

    if text.strip() == "off":
        return None
    try:
        address = parse(text)
    except ValueError as wrong:
        _refuse(flag, text, f"ADDR:PORT or off ({wrong})")
    if loopback_only and not is_loopback(address.ip):
        _refuse(flag, text, "a loopback address such as 127.0.0.1:15000, or off: whoever reaches it controls the proxy")
    return address


def _explicit_addresses(text: str | None) -> tuple[str, ...]:
    from ipaddress import ip_address

    from proxy.settings import LOOPBACK

    if text is None:
        return LOOPBACK
    found: dict[str, None] = {}
    allowed = "IP addresses of this host, each once, comma separated; 0.0.0.0 and :: are all of a family"
    for token in filter(None, (item.strip() for item in text.split(","))):
        try:
            ip = str(ip_address(token))
        except ValueError:
            _refuse("--explicit-listen", token, allowed)
        if ip in found or "%" in ip:
            _refuse("--explicit-listen", token, allowed)
        found[ip] = None
    if not found:
        _refuse("--explicit-listen", text, allowed)
    return tuple(found)


def _announced(text: str) -> dict[int, int]:
    found: dict[int, int] = {}
    for token in filter(None, (item.strip() for item in text.split(","))):
        port, slash, version = token.partition("/")
        known = {"": 2, "v1": 1, "v2": 2}
        valid = port.isascii() and port.isdigit() and 1 <= int(port) <= 65535
        if not valid or version not in known or (slash and not version) or int(port) in found:
            allowed = "ports of the workload, each once, comma separated, as 5432 or 8080/v1"
            _refuse("--inbound-proxy-protocol", token, allowed)
        found[int(port)] = known[version]
    return found


def _sources(text: str) -> tuple[str, ...]:
    from ipaddress import ip_address

    found: dict[int, str] = {}
    for token in filter(None, (item.strip() for item in text.split(","))):
        try:
            address = ip_address(token)
        except ValueError:
            _refuse("--inbound-source", token, "an IP address of this host, at most one a family")
        if address.version in found:
            _refuse("--inbound-source", token, "at most one address a family")
        found[address.version] = str(address)
    return tuple(found.values())
