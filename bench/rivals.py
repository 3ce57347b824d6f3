"""HAProxy and nginx as people put them behind REDIRECT.

They get the fewest rules that do the work, which favours them: tidegate is measured behind all that `tidegate init`
writes.
"""

import resource

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


def haproxy(where: World, threads: int, *options: str) -> Program:
    """Mode tcp to the original destination; `options` are lines of the proxy's section."""
    config = where.home / "haproxy.cfg"
    lines = "\n  ".join(options)
    # Pipes are reckoned in advance too, and more of them than are ever needed here: hence the lax limits.
    most = connections_within(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    config.write_text(f"""
global
  nbthread {threads}
  maxconn {most}
  no strict-limits
  uid {PROXY_UID}
  gid {PROXY_UID}
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
    # nginx names its user, not a number; setpriv starts it as the one that the rules exempt.
    who = [f"--reuid={PROXY_UID}", f"--regid={PROXY_UID}", "--clear-groups"]
    where.home.chmod(0o777)
    program = Program(where.pod, ["setpriv", *who, "--", "nginx", "-e", "stderr", "-c", str(config)])
    return up(program, *ports.values())


def up(program: Program, *ports: int) -> Program:
    """The program, listening on the ports; stopped when it doesn't come to that."""
    try:
        program.wait_listening(*ports)
    except BaseException:
        program.stop()
        raise
    return program
