"""Documents that several tests start from."""

from __future__ import annotations

from mesh.compile.compiler import compiled
from mesh.documents import read_text, together
from mesh.yaml.problems import Problems
from proxy.core.policy.policy import Policy

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.0.0.1, ports: [{name: tcp-main, port: 80}]}
"""

SLICE = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: tcp-main, port: 8080}]
endpoints: [{addresses: [10.1.0.1]}, {addresses: [10.1.0.2]}]
"""


def service(name: str, ip: str = "", *, namespace: str = "shop", spec: str = "", port: str = "port: 80") -> str:
    cluster_ip = f"clusterIP: {ip}, " if ip else ""
    return (
        f"\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{{cluster_ip}{spec}ports: [{{{port}}}]}}\n"
    )


def endpoints(name: str, *addresses: str, namespace: str = "shop", port: int = 8080, port_name: str = '""') -> str:
    family = "IPv6" if addresses and ":" in addresses[0] else "IPv4"
    listed = ", ".join(f"{{addresses: ['{address}']}}" for address in addresses)
    return (
        f"\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
        f"metadata: {{name: {name}-{family.lower()}, namespace: {namespace},"
        f" labels: {{kubernetes.io/service-name: {name}}}}}\n"
        f"addressType: {family}\nports: [{{name: {port_name}, port: {port}}}]\nendpoints: [{listed}]\n"
    )


def tcp_route(parent: str, *backends: tuple[str, int], name: str = "split", namespace: str = "shop") -> str:
    refs = ", ".join(f"{{name: {backend}, port: 80, weight: {weight}}}" for backend, weight in backends)
    return (
        f"\n---\napiVersion: gateway.networking.k8s.io/v1alpha2\nkind: TCPRoute\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\n"
        f'spec: {{parentRefs: [{{group: "", kind: Service, name: {parent}}}], rules: [{{backendRefs: [{refs}]}}]}}\n'
    )


def http_route(
    rules: str, *, parent: str = "web", name: str = "route", namespace: str = "shop", kind: str = "HTTPRoute"
) -> str:
    """rules: the list's items. parent: further fields of the parentRef may follow the name."""
    return (
        f"\n---\napiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\n"
        f'spec: {{parentRefs: [{{group: "", kind: Service, name: {parent}}}], rules: [{rules}]}}\n'
    )


def grant(kind: str, *, of: str = "other", to: str = "shop", name: str = "") -> str:
    """Lets routes of that kind in namespace `to` use the Services, or one of them, of namespace `of`."""
    only = f", name: {name}" if name else ""
    return (
        f"\n---\napiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\n"
        f"metadata: {{name: g, namespace: {of}}}\n"
        f"spec: {{from: [{{group: gateway.networking.k8s.io, kind: {kind}, namespace: {to}}}],"
        f' to: [{{group: "", kind: Service{only}}}]}}\n'
    )


def pod(name: str, labels: str, *, namespace: str = "shop") -> str:
    return (
        f"\n---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{{labels}}}}}\n"
        f"spec: {{containers: [{{name: c, image: i}}]}}\n"
    )


def traffic_policy(target: str, spec: str, *, name: str = "tp", section: str = "") -> str:
    at = f", sectionName: {section}" if section else ""
    return (
        f"\n---\napiVersion: tidegate.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: {name}, namespace: shop}}\n"
        f"spec: {{targetRefs: [{{name: {target}{at}}}], {spec}}}\n"
    )


def policy_of(text: str, namespace: str | None = None) -> tuple[Policy, list[str]]:
    """The policy, and what was warned of; errors are the test's."""
    problems = Problems()
    documents = together([read_text("f.yaml", text)], problems)
    policy = compiled(documents, problems, namespace)
    problems.refuse_if_any()
    return policy, [str(problem) for problem in problems.sorted()]
