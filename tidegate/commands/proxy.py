"""`tidegate proxy`: the sidecar in the foreground. Turns flags into ProxySettings; imports the proxy when it runs."""

from typing import Any

import click

from tidegate import flag_values as values

MAX_WORKERS = 64
"""As many as the engine has room for (cext/engine/engine.h)."""


@click.command("proxy")
@click.option(
    "--config",
    multiple=True,
    metavar="FILE|DIR",
    help="Configuration documents (repeatable). Read again when they change and on SIGHUP.",
)
@click.option("--outbound-port", default="15001", show_default=True, metavar="PORT", callback=values.PORT)
@click.option("--inbound-port", default="15006", show_default=True, metavar="PORT", callback=values.PORT)
@click.option(
    "--dns-port",
    default="15053",
    show_default=True,
    metavar="PORT|off",
    callback=values.port_or_off,
    help="Where captured DNS is taken, UDP and TCP.",
)
@click.option(
    "--explicit-port",
    metavar="PORT",
    callback=values.PORT,
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
    callback=values.ID,
    help="Whom to become when started as root.",
)
@click.option("--proxy-gid", default="1337", show_default=True, metavar="GID", callback=values.ID)
@click.option(
    "--proxy-mark",
    metavar="N",
    callback=values.number(1, 0xFFFFFFFF, "a packet mark"),
    help="SO_MARK of our upstream connections; needs CAP_NET_ADMIN.",
)
@click.option(
    "--lane",
    default="auto",
    show_default=True,
    metavar="auto|direct|splice|parsed",
    callback=values.one_of("auto", "direct", "splice", "parsed"),
    help="For every destination that the lane can carry; what it can't is said.",
)
@click.option(
    "--workers",
    default="1",
    show_default=True,
    metavar="N",
    callback=values.number(1, MAX_WORKERS, "a number of threads"),
    help="Threads that move bytes; decisions are made by one.",
)
@click.option("--connect-timeout", default="10", show_default=True, metavar="S", callback=values.seconds(0.05))
@click.option(
    "--idle-timeout", default="3600", show_default=True, metavar="S", callback=values.seconds(0), help="0: none."
)
@click.option(
    "--tcp-keepalive",
    default="300",
    show_default=True,
    metavar="S",
    callback=values.number(0, 32767, "a number of seconds"),
    help="Without traffic for so long, both sides are asked whether they are there; 0: never.",
)
@click.option("--drain-timeout", default="20", show_default=True, metavar="S", callback=values.seconds(0))
@click.option(
    "--max-connections",
    metavar="N",
    callback=values.number(1, 4_000_000, "a number of connections"),
    help="Default: as many as RLIMIT_NOFILE allows.",
)
@click.option(
    "--inbound-original-dst",
    default="auto",
    show_default=True,
    metavar="auto|sockopt|sockname",
    callback=values.one_of("auto", "sockopt", "sockname"),
)
@click.option(
    "--inbound-source",
    default="",
    metavar="LIST",
    help="Address to connect to the workload from, at most one a family (hairpin: 127.0.0.6,::6).",
)
@click.option(
    "--inbound-client-address",
    default="auto",
    show_default=True,
    metavar="auto|on|off",
    callback=values.one_of("auto", "on", "off"),
    help="Call the workload from its client's address in tproxy mode, which takes CAP_NET_RAW; auto: where that mode is"
    " in force when the proxy starts.",
)
@click.option(
    "--inbound-proxy-protocol",
    default="",
    metavar="LIST",
    help="Ports at which the workload expects the PROXY protocol, version 2; 8080/v1: version 1.",
)
@click.option(
    "--max-body",
    metavar="BYTES",
    callback=values.size,
    help="Answer requests with a larger body 413; 10M: ten mebibytes. Default: any size passes.",
)
@click.option(
    "--forwarded-for",
    default="off",
    show_default=True,
    metavar="off|inbound|outbound|both",
    callback=values.one_of("off", "inbound", "outbound", "both"),
    help="Add X-Forwarded-For with the client's address to requests of that direction.",
)
@click.option("--request-id", is_flag=True, help="Add an x-request-id to requests that have none.")
@click.option(
    "--filter",
    "filter_file",
    metavar="FILE",
    help="Python file with on_request or on_response: docs/filters.md. Requests to Services go through it.",
)
@click.option(
    "--databases",
    default="on",
    show_default=True,
    metavar="on|off",
    callback=values.one_of("on", "off"),
    help="Count requests to Redis, PostgreSQL and MySQL by kind, outcome and latency: docs/databases.md.",
)
@click.option("--ask-all", is_flag=True, hidden=True, help="Python decides each request; for tests.")
@click.option(
    "--log-format", default="text", show_default=True, metavar="text|json", callback=values.one_of("text", "json")
)
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    metavar="LEVEL",
    callback=values.one_of("debug", "info", "warning", "error"),
)
@click.option(
    "--seccomp",
    default="on",
    show_default=True,
    metavar="on|off",
    callback=values.one_of("on", "off"),
    help="Whether we, and the companion of a proxy started as root, may make the system calls only that we need.",
)
@click.option(
    "--helper",
    default="auto",
    show_default=True,
    metavar="auto|required",
    callback=values.one_of("auto", "required"),
    help="Started without root: take the helper of `tidegate init --helper` when there is one, or wait for it.",
)
@click.option(
    "--take-over",
    is_flag=True,
    help="Take the listeners over from the proxy that runs here, which then ends with its last connection; start as"
    " ever where none does.",
)
@click.option("--supervisor-fd", hidden=True, callback=values.number(3, 1 << 20, "an inherited descriptor"))
def proxy(**flags: Any) -> int:
    """Run the sidecar in the foreground: accept captured connections and forward them to where they were meant to go.

    SIGTERM drains and exits 0. Access log on stdout, everything else on stderr.
    """
    from tidegate.processes import have_standard_descriptors

    have_standard_descriptors()
    from proxy.core.lanes import Direction, LaneChoice
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
            explicit_listen=values.explicit_addresses(flags["explicit_listen"]),
            explicit_link_local=flags["explicit_allow_link_local"],
            admin=values.endpoint("--admin", flags["admin"], loopback_only=True),
            telemetry=values.endpoint("--telemetry", flags["telemetry"], loopback_only=False),
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
            inbound_sources=values.sources(flags["inbound_source"]),
            as_client=values.as_client(flags["inbound_client_address"], otherwise=bool(flags["inbound_source"])),
            announced=values.announced(flags["inbound_proxy_protocol"]),
            largest_body=flags["max_body"],
            forwarded_for=tuple(one for one in Direction if flags["forwarded_for"] in ("both", one.value)),
            request_id=flags["request_id"],
            filter=values.file("--filter", flags["filter_file"]),
            ask_all=flags["ask_all"],
            databases=flags["databases"] == "on",
            log_format=LogFormat(flags["log_format"]),
            log_level=flags["log_level"],
            supervisor_fd=flags["supervisor_fd"],
            take_over=flags["take_over"],
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


def _source(paths: tuple[str, ...]) -> Any:
    """What reads the configuration. Imported only when there is any: it costs tens of milliseconds."""
    if not paths:
        return None
    from mesh.sources.files import ConfigSource

    return ConfigSource(paths)
