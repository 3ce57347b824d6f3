"""Who takes the drills: our parsed lane by policy, HAProxy and Envoy bare and with the nearest that they have."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from bench import envoy as envoy_package
from bench.contestants import TIDEGATE
from bench.drills.endpoints import PORT
from bench.drills.world import ENDPOINTS, VIP, Drill
from bench.processes import Program, run
from bench.rivals import as_proxy, haproxy_globals, up
from bench.world import PROXY_PORT, PROXY_UID

Start = Callable[[Drill], contextlib.AbstractContextManager[None]]
TIMES = "timeouts: {request: 3s}"
RETRIES = "retries: {attempts: 2, perTryTimeout: 1s, backoff: {base: 5ms, max: 50ms}}"
HEDGING = "hedging: {quantile: 0.9, budgetPercent: 10, minDelay: 5ms}"
EJECTION = (
    "outlierDetection: {consecutive5xxErrors: 3, interval: 2s, baseEjectionTime: 5s, maxEjectionPercent: 20,"
    " minHealthPercent: 50, successRate: {minimumHosts: 5, requestVolume: 20, stdevFactor: 1.9}}"
)
CONNECT = "connectionPool: {tcp: {connectTimeout: 250ms}}"
LIMITS = "connectionPool: {tcp: {connectTimeout: 250ms}, http: {http2MaxRequests: 1024, maxRetries: 100}}"
WEIGHTS = 'statusWeights: {"503": 0.5}'
POLICIES = {
    "none": "",
    "timeouts": f"{TIMES}, {CONNECT}",
    "retries": f"{RETRIES}, {CONNECT}",
    "hedging": HEDGING,
    "ejection": EJECTION,
    "weights": WEIGHTS,
    "all": ", ".join((TIMES, RETRIES, HEDGING, EJECTION, LIMITS, WEIGHTS)),
}
_SERVICE = f"""\
apiVersion: v1
kind: Service
metadata: {{name: shop, namespace: bench}}
spec: {{clusterIP: {VIP}, ports: [{{name: http, port: {PORT}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: shop, namespace: bench, labels: {{kubernetes.io/service-name: shop}}}}
addressType: IPv4
ports: [{{name: http, port: {PORT}}}]
endpoints: [{", ".join(f'{{addresses: ["{one}"]}}' for one in ENDPOINTS)}]
"""
_POLICY = """\
---
apiVersion: tidegate.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: shop, namespace: bench}
"""


def documents(policy: str) -> str:
    spec = f"spec: {{targetRefs: [{{name: shop}}], {policy}}}\n"
    return _SERVICE + (_POLICY + spec if policy else "")


@contextlib.contextmanager
def tidegate(where: Drill, policy: str) -> Iterator[None]:
    config = where.home / "drill.yaml"
    config.write_text(documents(policy))
    proxy = Program(where.pod, [TIDEGATE, "proxy", "--config", str(config), "--drain-timeout", "0"], quiet=True)
    with proxy:
        run(
            where.pod, [TIDEGATE, "init", "--mode", "nftables", "--include-inbound-ports", "", "--netns", where.pod], 30
        )
        try:
            proxy.wait_listening(PROXY_PORT)
            yield
        finally:
            run(where.pod, [TIDEGATE, "cleanup", "--netns", where.pod], 30)


@contextlib.contextmanager
def haproxy(where: Drill, *, bare: bool) -> Iterator[None]:
    asked = """
  retries 2
  option redispatch 1
  retry-on conn-failure empty-response response-timeout 503
  timeout server 1s
"""
    watched = " check inter 5s observe layer7 error-limit 3 on-error mark-down"
    servers = "\n  ".join(
        f"server s{n} {address}:{PORT}{'' if bare else watched}" for n, address in enumerate(ENDPOINTS)
    )
    config = where.home / "haproxy.cfg"
    config.write_text(f"""
{haproxy_globals(1)}
defaults
  mode http
  http-reuse always
  balance leastconn
  timeout connect {"5s" if bare else "250ms"}
  timeout client 1m
  timeout server 1m
listen shop
  bind :{PROXY_PORT}
{"" if bare else asked}
  {servers}
""")
    with _behind_redirect(where, Program(where.pod, ["haproxy", "-db", "-f", str(config)])):
        yield


@contextlib.contextmanager
def envoy(where: Drill, *, bare: bool) -> Iterator[None]:
    config = where.home / "envoy.json"
    config.write_text(json.dumps(envoy_document(bare=bare)))
    argv = [envoy_package.program(), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    where.home.chmod(0o777)
    with _behind_redirect(where, Program(where.pod, as_proxy(*argv))):
        yield


def envoy_document(*, bare: bool) -> dict[str, Any]:
    filters = "type.googleapis.com/envoy.extensions.filters"
    route: dict[str, Any] = {"cluster": "shop", "timeout": "0s" if bare else "3s"}
    cluster: dict[str, Any] = {
        "name": "shop",
        "type": "STATIC",
        "lb_policy": "LEAST_REQUEST",
        "connect_timeout": "5s" if bare else "0.25s",
        "load_assignment": {
            "cluster_name": "shop",
            "endpoints": [
                {
                    "lb_endpoints": [
                        {"endpoint": {"address": {"socket_address": {"address": one, "port_value": PORT}}}}
                        for one in ENDPOINTS
                    ]
                }
            ],
        },
    }
    if not bare:
        predicate = "envoy.retry_host_predicates.previous_hosts"
        typed = "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
        route["retry_policy"] = {
            "retry_on": "5xx,reset,connect-failure",
            "num_retries": 2,
            "per_try_timeout": "1s",
            "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.05s"},
            "retry_host_predicate": [{"name": predicate, "typed_config": {"@type": typed}}],
            "host_selection_retry_max_attempts": 5,
        }
        route["hedge_policy"] = {"hedge_on_per_try_timeout": True}
        cluster["outlier_detection"] = {
            "consecutive_5xx": 3,
            "interval": "2s",
            "base_ejection_time": "5s",
            "max_ejection_percent": 20,
            "success_rate_request_volume": 20,
        }
    manager = {
        "@type": f"{filters}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "capture",
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{filters}.http.router.v3.Router"},
            }
        ],
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}]}]
        },
    }
    listener = {
        "name": "capture",
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": PROXY_PORT}},
        "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


@contextlib.contextmanager
def _behind_redirect(where: Drill, program: Program) -> Iterator[None]:
    rules = f"""
table ip bench {{
  chain output {{
    type nat hook output priority -100
    meta skuid {PROXY_UID} return
    ip daddr {VIP} tcp dport {PORT} redirect to :{PROXY_PORT}
  }}
}}
"""
    with program:
        run(where.pod, ["nft", "-f", "-"], 10, rules)
        up(program, PROXY_PORT)
        yield


CONTESTANTS: dict[str, Start] = {
    **{f"tidegate, {name}": partial(tidegate, policy=policy) for name, policy in POLICIES.items()},
    "HAProxy, bare": partial(haproxy, bare=True),
    "HAProxy, nearest": partial(haproxy, bare=False),
    "Envoy, bare": partial(envoy, bare=True),
    "Envoy, nearest": partial(envoy, bare=False),
}
