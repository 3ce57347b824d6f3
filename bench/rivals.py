"""HAProxy, nginx and Envoy as people put them behind REDIRECT.

They get the fewest rules that do the work, which favours them: tidegate is measured behind all that `tidegate init`
writes.
"""

import json
import resource
from typing import Any

from bench import envoy as envoy_package
from bench.descriptors import connections_within
from bench.processes import Program, run
from bench.world import DESTINATIONS, PROXY_PORT, PROXY_UID, World

FIRST_NGINX_PORT = 15100
NGINX_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"
TO_ONE_PORT = f"to :{PROXY_PORT}"


def redirect(where: World, target: str) -> None:
    """Capture what the service's destinations are sent, but from the proxy's user. `target`: as nft words it."""
    places = ", ".join(f"{address} . {port}" for address, port in DESTINATIONS)
    run(
        where.pod,
        ["nft", "-f", "-"],
        10,
        f"""
table ip bench {{
  set destinations {{ type ipv4_addr . inet_service; elements = {{ {places} }} }}
  chain output {{
    type nat hook output priority -100
    meta skuid {PROXY_UID} return
    ip daddr . tcp dport @destinations redirect {target}
  }}
}}
""",
    )


def haproxy_globals(threads: int, *tuning: str) -> str:
    """The section that every HAProxy here begins with."""
    # Pipes are reckoned in advance too, and more of them than are ever needed here: hence the lax limits.
    most = connections_within(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    lines = "\n  ".join((f"nbthread {threads}", f"maxconn {most}", "no strict-limits", *tuning))
    return f"global\n  {lines}\n  uid {PROXY_UID}\n  gid {PROXY_UID}"


def haproxy(where: World, threads: int, *options: str, tuning: tuple[str, ...] = ()) -> Program:
    """Mode tcp to the original destination; `options` are lines of the proxy's section, `tuning` of the global one."""
    config = where.home / "haproxy.cfg"
    lines = "\n  ".join(options)
    config.write_text(f"""
{haproxy_globals(threads, *tuning)}
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
listen capture
  bind :{PROXY_PORT}
  {lines}
  server original 0.0.0.0:0
""")
    redirect(where, TO_ONE_PORT)
    program = Program(where.pod, ["haproxy", "-db", "-f", str(config)])
    return up(program, PROXY_PORT)


def envoy_tcp(where: World, threads: int) -> Program:
    """Envoy's tcp_proxy to the original destination."""
    types = "type.googleapis.com/envoy.extensions.filters"
    proxy = {
        "@type": f"{types}.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "capture",
        "cluster": "original",
        "idle_timeout": "3600s",
    }
    most = {"priority": "DEFAULT", "max_connections": 65535, "max_pending_requests": 65535}
    listener = {
        "name": "capture",
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": PROXY_PORT}},
        "listener_filters": [
            {"name": "original", "typed_config": {"@type": f"{types}.listener.original_dst.v3.OriginalDst"}}
        ],
        "filter_chains": [{"filters": [{"name": "tcp", "typed_config": proxy}]}],
    }
    cluster = {
        "name": "original",
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "10s",
        "circuit_breakers": {"thresholds": [most]},
    }
    return envoy(where, threads, {"static_resources": {"listeners": [listener], "clusters": [cluster]}})


def envoy(where: World, threads: int, document: dict[str, Any]) -> Program:
    config = where.home / "envoy.json"
    config.write_text(json.dumps(document))
    redirect(where, TO_ONE_PORT)
    argv = [envoy_package.program(), "-c", str(config), "--concurrency", str(threads), "--disable-hot-restart"]
    where.home.chmod(0o777)
    return up(Program(where.pod, as_proxy(*argv, "-l", "error")), PROXY_PORT)


def as_proxy(*argv: str) -> list[str]:
    """Started as the user that the rules exempt, for programs that name their user or none at all."""
    return ["setpriv", f"--reuid={PROXY_UID}", f"--regid={PROXY_UID}", "--clear-groups", "--", *argv]


def nginx_stream(where: World, threads: int) -> Program:
    """nginx can't ask for the original destination behind REDIRECT: each destination has a port and a server of its
    own, which spares it a system call that the others make."""
    ports = dict(zip(DESTINATIONS, range(FIRST_NGINX_PORT, FIRST_NGINX_PORT + len(DESTINATIONS)), strict=True))
    servers = "\n  ".join(
        f"server {{ listen {port} backlog=4096; proxy_pass {address}:{service}; }}"
        for (address, service), port in ports.items()
    )
    config = where.home / "stream.conf"
    config.write_text(f"""
load_module {NGINX_MODULE};
daemon off; pid {where.home}/stream.pid; error_log stderr; worker_processes {threads};
events {{ worker_connections {resource.getrlimit(resource.RLIMIT_NOFILE)[0]}; }}
stream {{
  tcp_nodelay on;
  proxy_connect_timeout 10s; proxy_timeout 1h;
  {servers}
}}
""")
    pairs = ", ".join(f"{address} . {service} : {port}" for (address, service), port in ports.items())
    redirect(where, f"to : ip daddr . tcp dport map {{ {pairs} }}")
    where.home.chmod(0o777)
    program = Program(where.pod, as_proxy("nginx", "-e", "stderr", "-c", str(config)))
    return up(program, *ports.values())


def up(program: Program, *ports: int) -> Program:
    """The program, listening on the ports; stopped when it doesn't come to that."""
    try:
        program.wait_listening(*ports)
    except BaseException:
        program.stop()
        raise
    return program
