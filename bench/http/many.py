"""What the contestant `parsed-many` is configured with: many routes and endpoints, which must not be felt."""

from bench.processes import run
from bench.world import ADDRESSES, HTTP_PORT, World

ROUTES = 10_000
EXPRESSIONS = 500
ENDPOINTS = 1_000
PER_DOCUMENT = 16
"""Rules of an HTTPRoute: the most that Gateway API allows."""
_NETWORK = "10.78.0.0/16"


def addresses() -> list[str]:
    return [f"10.78.{1 + number // 250}.{1 + number % 250}" for number in range(ENDPOINTS)]


def serve(where: World) -> None:
    """Makes the service answer at all of the addresses."""
    run(where.service, ["ip", "route", "add", "local", _NETWORK, "dev", "lo"], 5)
    run(where.pod, ["ip", "route", "add", _NETWORK, "via", ADDRESSES[0]], 5)


def routes(service: str, backend: str) -> str:
    """Attached to the Service: exact paths, prefixes, headers, and expressions; none takes what the loads ask for."""
    made = []
    for number, first in enumerate(range(0, ROUTES, PER_DOCUMENT)):
        rules = range(first, min(first + PER_DOCUMENT, ROUTES))
        made.append(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n"
            f"metadata: {{name: many-{number}, namespace: bench}}\n"
            f'spec:\n  parentRefs: [{{group: "", kind: Service, name: {service}}}]\n  rules:\n'
            + "".join(
                f"  - {{matches: [{{{_match(one)}}}], backendRefs: [{{name: {backend}, port: {HTTP_PORT}}}]}}\n"
                for one in rules
            )
        )
    return "".join(made)


def _match(number: int) -> str:
    if number < EXPRESSIONS:
        return f"path: {{type: RegularExpression, value: '/re/[0-9]+/{number}'}}"
    kinds = (
        f"path: {{type: Exact, value: /exact/{number}}}",
        f"path: {{type: PathPrefix, value: /prefix/{number}}}",
        f"headers: [{{name: x-tenant, value: t{number}}}]",
    )
    return kinds[number % len(kinds)]
