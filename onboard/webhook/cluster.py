"""The webhook's certificates in its cluster: kept in a Secret, known to the API server, renewed in time.

Several replicas may do this at once. The Secret's resourceVersion decides which of them was first; the others read what
that one wrote.
"""

import base64
import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from onboard.webhook.certificate import Kept, renewed

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_KEYS = {
    "authority": "ca.crt",
    "authority_key": "ca.key",
    "serving": "tls.crt",
    "serving_key": "tls.key",
    "former": "former-ca.crt",
}
_ATTEMPTS = 5
_TIMEOUT_S = 10
_CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


class ClusterError(Exception):
    """The API server refused or could not be reached; the message names what was asked."""

    exit_code = 1

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """The API server as a pod reaches it. ask(method, path, body, content type) -> the answer's object."""

    def __init__(self, url: str, account: Path = ACCOUNT) -> None:
        self._url, self._account = url, account
        authority = account / "ca.crt"
        self._context = ssl.create_default_context(cafile=str(authority)) if url.startswith("https:") else None

    @classmethod
    def in_cluster(cls) -> "Api":
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise ClusterError("KUBERNETES_SERVICE_HOST is not set: this is no pod (use --certificate and --key)")
        return cls(f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")

    @property
    def namespace(self) -> str:
        return (self._account / "namespace").read_text(encoding="utf-8").strip()

    def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> dict[str, Any]:
        """Raises ClusterError, with the status when there was an answer."""
        # The token is read each time: the kubelet renews it.
        token = (self._account / "token").read_text(encoding="utf-8").strip()
        request = urllib.request.Request(  # noqa: S310  # https, or a test's own server
            self._url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode("utf-8"),
            headers={"Authorization": f"Bearer {token}", "Content-Type": kind, "Accept": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=self._context) as answer:  # noqa: S310
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as refused:
            raise ClusterError(f"{method} {path}: status {refused.code}", refused.code) from None
        except (OSError, ValueError) as failed:
            raise ClusterError(f"{method} {path}: {failed}") from None


@dataclass(frozen=True, slots=True)
class Names:
    secret: str
    service: str
    configuration: str


def keep(api: Api, names: Names, now: Callable[[], datetime]) -> Kept:
    """What is to be served, after it was made or renewed where that was due and the API server was told.

    Raises ClusterError.
    """
    space = api.namespace
    hosts = [f"{names.service}.{space}.svc", f"{names.service}.{space}.svc.cluster.local"]
    folder = f"/api/v1/namespaces/{space}/secrets"
    for _ in range(_ATTEMPTS):
        secret = _found(api, f"{folder}/{names.secret}")
        kept = None if secret is None else _read(secret)
        wanted = renewed(kept, hosts, now())
        if wanted is not kept:
            try:
                _store(api, folder, names.secret, secret, wanted)
            except ClusterError as refused:
                if refused.status == 409:  # another replica was first
                    continue
                raise
        _tell(api, names.configuration, wanted.bundle)
        return wanted
    raise ClusterError(f"the Secret {space}/{names.secret} was changed by others {_ATTEMPTS} times in a row")


def _found(api: Api, path: str) -> dict[str, Any] | None:
    try:
        return api.ask("GET", path)
    except ClusterError as refused:
        if refused.status == 404:
            return None
        raise


def _read(secret: dict[str, Any]) -> Kept | None:
    """None: it holds nothing of ours yet, as when it was made empty by a manifest."""
    data = secret.get("data") or {}
    if not all(data.get(_KEYS[name]) for name in ("authority", "authority_key", "serving", "serving_key")):
        return None
    return Kept(**{name: base64.b64decode(data.get(key) or "") for name, key in _KEYS.items()})


def _store(api: Api, folder: str, name: str, secret: dict[str, Any] | None, kept: Kept) -> None:
    data = {key: base64.b64encode(getattr(kept, field)).decode("ascii") for field, key in _KEYS.items()}
    if secret is None:
        made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque", "data": data}
        api.ask("POST", folder, made)
    else:
        api.ask("PUT", f"{folder}/{name}", {**secret, "data": data})


def _tell(api: Api, configuration: str, bundle: bytes) -> None:
    """Each webhook of the configuration trusts the bundle."""
    path = f"{_CONFIGURATIONS}/{configuration}"
    wanted = base64.b64encode(bundle).decode("ascii")
    hooks = api.ask("GET", path).get("webhooks") or []
    patch = [
        {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": wanted}
        for index, hook in enumerate(hooks)
        if hook.get("clientConfig", {}).get("caBundle") != wanted
    ]
    if patch:
        api.ask("PATCH", path, patch, "application/json-patch+json")
