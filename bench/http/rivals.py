"""HAProxy, nginx and Envoy in their HTTP modes behind REDIRECT, routed as tidegate's HTTPRoute routes: by two prefixes,
over the same endpoints, upstream connections reused. None of them writes an access log."""

import resource
from typing import Any

from bench import rivals
from bench.processes import Program
from bench.rivals import TO_ONE_PORT, as_proxy, haproxy_globals, redirect, up
from bench.world import ADDRESSES, HTTP_PORT, PROXY_PORT, World

PREFIX = "/api"
_FILTERS = "type.googleapis.com/envoy.extensions.filters"


def haproxy(where: World, threads: int) -> Program:
    config = where.home / "haproxy-http.cfg"
    servers = "\n  ".join(f"server s{n} {address}:{HTTP_PORT}" for n, address in enumerate(ADDRESSES))
    config.write_text(f"""
{haproxy_globals(threads)}
defaults
  mode http
  http-reuse always
  balance random
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout http-keep-alive 1h
  timeout http-request 60s
frontend capture
  bind :{PROXY_PORT}
  use_backend api if {{ path_beg {PREFIX}/ }}
  default_backend pages
backend api
  {servers}
backend pages
  {servers}
""")
    redirect(where, TO_ONE_PORT)
    return up(Program(where.pod, ["haproxy", "-db", "-f", str(config)]), PROXY_PORT)


def nginx(where: World, threads: int) -> Program:
    config = where.home / "proxy.conf"
    servers = " ".join(f"server {address}:{HTTP_PORT};" for address in ADDRESSES)
    passing = 'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;'
    where.home.chmod(0o777)
    config.write_text(f"""
daemon off; pid {where.home}/proxy.pid; error_log stderr; worker_processes {threads};
events {{ worker_connections {resource.getrlimit(resource.RLIMIT_NOFILE)[0]}; }}
http {{
  access_log off; tcp_nodelay on;
  keepalive_requests 100000000; keepalive_timeout 3600s;
  client_body_temp_path {where.home}/p1; proxy_temp_path {where.home}/p2; fastcgi_temp_path {where.home}/p3;
  uwsgi_temp_path {where.home}/p4; scgi_temp_path {where.home}/p5;
  upstream pages {{ random; {servers} keepalive 1024; keepalive_requests 100000000; keepalive_timeout 3600s; }}
  upstream api {{ random; {servers} keepalive 1024; keepalive_requests 100000000; keepalive_timeout 3600s; }}
  server {{
    listen {PROXY_PORT} backlog=4096;
    location {PREFIX}/ {{ proxy_pass http://api; {passing} }}
    location / {{ proxy_pass http://pages; {passing} }}
  }}
}}
""")
    redirect(where, TO_ONE_PORT)
    program = Program(where.pod, as_proxy("nginx", "-e", "stderr", "-c", str(config)))
    return up(program, PROXY_PORT)


def envoy(where: World, threads: int) -> Program:
    return rivals.envoy(where, threads, envoy_document())


def envoy_document() -> dict[str, Any]:
    """As a mesh configures it, without the filters that the others have no match for: P2C on least requests."""
    routes = [
        {"match": {"path_separated_prefix": PREFIX}, "route": {"cluster": "api", "timeout": "0s"}},
        {"match": {"prefix": "/"}, "route": {"cluster": "pages", "timeout": "0s"}},
    ]
    router = {"@type": f"{_FILTERS}.http.router.v3.Router"}
    manager = {
        "@type": f"{_FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "capture",
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
    }
    listener = {
        "name": "capture",
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": PROXY_PORT}},
        "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [_cluster("api"), _cluster("pages")]}}


def _cluster(name: str) -> dict[str, Any]:
    endpoints = [
        {"endpoint": {"address": {"socket_address": {"address": address, "port_value": HTTP_PORT}}}}
        for address in ADDRESSES
    ]
    most = {"priority": "DEFAULT", "max_connections": 65535, "max_pending_requests": 65535, "max_requests": 65535}
    return {
        "name": name,
        "type": "STATIC",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [most]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }
