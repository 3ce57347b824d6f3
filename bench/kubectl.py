"""Services and EndpointSlices as `kubectl get -o yaml` writes them, as many as are asked for."""

from collections.abc import Iterator
from pathlib import Path

PER_FILE = 2_500
"""Services in one file of a folder: a file has a limit of size, and of values."""


def service(number: int) -> str:
    ip = f"10.{96 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
    return f"""apiVersion: v1
kind: Service
metadata:
  annotations:
    meta.helm.sh/release-name: service-{number}
    meta.helm.sh/release-namespace: bench
  creationTimestamp: "2026-01-01T00:00:00Z"
  labels:
    app: service-{number}
    app.kubernetes.io/managed-by: Helm
  name: service-{number}
  namespace: bench
  resourceVersion: "{100_000 + number}"
  uid: 5f6b8d1e-0000-4000-8000-{number:012d}
spec:
  clusterIP: {ip}
  clusterIPs:
  - {ip}
  internalTrafficPolicy: Cluster
  ipFamilies:
  - IPv4
  ipFamilyPolicy: SingleStack
  ports:
  - name: tcp-main
    port: 80
    protocol: TCP
    targetPort: 8080
  selector:
    app: service-{number}
  sessionAffinity: None
  type: ClusterIP
status:
  loadBalancer: {{}}
"""


def endpoint_slice(number: int, endpoints: int) -> str:
    listed = "".join(_endpoint(number, number * endpoints + one) for one in range(endpoints))
    return f"""addressType: IPv4
apiVersion: discovery.k8s.io/v1
endpoints:
{listed}kind: EndpointSlice
metadata:
  annotations:
    endpoints.kubernetes.io/last-change-trigger-time: "2026-01-01T00:00:00Z"
  creationTimestamp: "2026-01-01T00:00:00Z"
  generateName: service-{number}-
  generation: 3
  labels:
    app: service-{number}
    endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io
    kubernetes.io/service-name: service-{number}
  name: service-{number}-abcde
  namespace: bench
  ownerReferences:
  - apiVersion: v1
    blockOwnerDeletion: true
    controller: true
    kind: Service
    name: service-{number}
    uid: 5f6b8d1e-0000-4000-8000-{number:012d}
  resourceVersion: "{200_000 + number}"
  uid: 5f6b8d1e-2222-4000-8000-{number:012d}
ports:
- name: tcp-main
  port: 8080
  protocol: TCP
"""


def _endpoint(service_number: int, number: int) -> str:
    return f"""- addresses:
  - 10.{128 + (number >> 16)}.{number >> 8 & 255}.{number & 255}
  conditions:
    ready: true
    serving: true
    terminating: false
  nodeName: node-{number % 100}
  targetRef:
    kind: Pod
    name: service-{service_number}-7d9c8b6f5-{number:07d}
    namespace: bench
    uid: 5f6b8d1e-1111-4000-8000-{number:012d}
  zone: zone-a
"""


def objects(numbers: range, endpoints: int) -> Iterator[str]:
    for number in numbers:
        yield service(number)
        yield endpoint_slice(number, endpoints)


def write_documents(path: Path, services: int, endpoints: int) -> None:
    """Many documents in one file."""
    path.write_text("---\n".join(objects(range(services), endpoints)))


def write_list(path: Path, services: int, endpoints: int) -> None:
    """One document of kind List."""
    with path.open("w") as opened:
        opened.write("apiVersion: v1\nitems:\n")
        for text in objects(range(services), endpoints):
            first, *rest = text.splitlines(keepends=True)
            opened.write(f"- {first}" + "".join(f"  {line}" for line in rest))
        opened.write('kind: List\nmetadata:\n  resourceVersion: ""\n')


def write_folder(folder: Path, services: int, endpoints: int) -> None:
    """Several files, in a folder that is made here."""
    folder.mkdir()
    for first in range(0, services, PER_FILE):
        numbers = range(first, min(first + PER_FILE, services))
        (folder / f"{first:06d}.yaml").write_text("---\n".join(objects(numbers, endpoints)))
