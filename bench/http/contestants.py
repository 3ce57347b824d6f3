"""Who is compared in HTTP. To add one: a line in CONTESTANTS."""

import contextlib
from collections.abc import Iterator
from functools import partial

from bench.contestants import TIDEGATE, Contestant, captured, nothing, rival, sidecar
from bench.http import many as bench_many
from bench.http import rivals
from bench.processes import BenchError, Program, run
from bench.world import ADDRESSES, HTTP_PORT, World

_ENDPOINTS = ", ".join(f'{{addresses: ["{one}"]}}' for one in ADDRESSES)
_SERVICE = """\
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: bench}}
spec: {{clusterIP: {ip}, ports: [{{name: http, port: {port}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, namespace: bench, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: http, port: {port}}}]
endpoints: [{endpoints}]
---
"""
_ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: bench, namespace: bench}}
spec:
  parentRefs: [{parents}]
  rules:
  - matches: [{{path: {{type: PathPrefix, value: {prefix}}}}}]
    backendRefs: [{{name: s1, port: {port}}}]
  - matches: [{{path: {{type: PathPrefix, value: /}}}}]
    backendRefs: [{{name: s0, port: {port}}}]
"""


def documents(*, many: bool = False) -> str:
    """A Service at each address, each with all endpoints, and a route of two rules for all of them. many: the first one
    has 1,000 endpoints, and 10,000 rules beside."""
    names = [f"s{number}" for number in range(len(ADDRESSES))]
    parents = ", ".join(f'{{group: "", kind: Service, name: {name}}}' for name in names)
    made = [
        _SERVICE.format(name=name, ip=ip, port=HTTP_PORT, endpoints=_ENDPOINTS)
        for name, ip in zip(names, ADDRESSES, strict=True)
    ]
    if many:
        endpoints = ", ".join(f'{{addresses: ["{one}"]}}' for one in bench_many.addresses())
        made[0] = _SERVICE.format(name=names[0], ip=ADDRESSES[0], port=HTTP_PORT, endpoints=endpoints)
        made.append(bench_many.routes(names[0], names[1]) + "---\n")
    return "".join(made) + _ROUTE.format(parents=parents, prefix=rivals.PREFIX, port=HTTP_PORT)


@contextlib.contextmanager
def parsed(
    where: World, threads: int, mode: str, more: tuple[str, ...] = (), *, many: bool = False
) -> Iterator[Program]:
    """`tidegate proxy` with the route, telemetry and access log on."""
    config = where.home / "routes.yaml"
    config.write_text(documents(many=many))
    if many:
        bench_many.serve(where)
    where.home.chmod(0o755)
    argv = [TIDEGATE, "proxy", "--config", str(config), "--workers", str(threads), "--drain-timeout", "0", *more]
    with captured(where, mode, Program(where.pod, argv, quiet=True)) as program:
        yield program
        if _requests(where) == 0:
            raise BenchError("no request was seen: the bytes went through opaquely")


def _requests(where: World) -> float:
    get = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:15020/metrics').read().decode())"
    lines = run(where.pod, ["/usr/bin/python3", "-c", get], 5).splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("istio_requests_total{"))


CONTESTANTS = (
    Contestant("none", "no proxy", nothing, proxied=False),
    Contestant("haproxy", "HAProxy http, reuse always", partial(rival, make=rivals.haproxy)),
    Contestant("nginx", "nginx proxy_pass, keepalive", partial(rival, make=rivals.nginx)),
    Contestant("envoy", "Envoy 1.40, http", partial(rival, make=rivals.envoy)),
    Contestant("parsed-nftables", "tidegate proxy, parsed, nftables", partial(parsed, mode="nftables")),
    Contestant("parsed-ebpf", "tidegate proxy, parsed, eBPF", partial(parsed, mode="ebpf")),
    Contestant("parsed-many", "the same, 10,000 rules, 1,000 endpoints", partial(parsed, mode="nftables", many=True)),
    Contestant("splice-nftables", "tidegate proxy, splice, nftables", sidecar("nftables", "splice")),
)
