"""AdmissionReviews as an API server sends them when a Deployment's pod is made, and what becomes of them."""

import base64
import json
from copy import deepcopy
from typing import Any

UID = "705ab4f5-6393-11e8-b7cc-42010a800002"


def review(pod: Any, **changed: Any) -> bytes:
    request: dict[str, Any] = {
        "uid": UID,
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
        "requestResource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": "shop",
        "operation": "CREATE",
        "userInfo": {
            "username": "system:serviceaccount:kube-system:replicaset-controller",
            "uid": "a1e1d7d2-32d8-4d6c-9c41-ab6a8a9c9f1e",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"],
        },
        "object": pod,
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    }
    request.update(changed)
    made = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}
    return json.dumps(made).encode()


def pod() -> dict[str, Any]:
    """With what an API server has filled in by the time that webhooks are asked."""
    token = {"name": "kube-api-access-x7k2p", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "generateName": "shop-6b7f675f5-",
            "creationTimestamp": None,
            "labels": {"app": "shop", "pod-template-hash": "6b7f675f5"},
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": "shop-6b7f675f5",
                    "uid": "9f1e",
                    "controller": True,
                }
            ],
        },
        "spec": {
            "volumes": [
                {"name": token["name"], "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
            ],
            "containers": [
                {"name": "app", "image": "shop:1", "ports": [{"containerPort": 8080}], "volumeMounts": [token]}
            ],
            "restartPolicy": "Always",
            "serviceAccountName": "default",
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
        },
        "status": {},
    }


def patched(before: Any, operations: list[dict[str, Any]]) -> Any:
    """RFC 6902, `add` alone: a member of an object, or an item before an index of an array that is there."""
    after = deepcopy(before)
    for operation in operations:
        assert operation["op"] == "add"
        *path, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        place = after
        for part in path:
            place = place[int(part)] if isinstance(place, list) else place[part]
        if isinstance(place, list):
            assert 0 <= int(last) <= len(place)
            place.insert(int(last), operation["value"])
        else:
            place[last] = operation["value"]
    return after


def answer_of(body: bytes) -> dict[str, Any]:
    made = json.loads(body)
    assert (made["apiVersion"], made["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response: dict[str, Any] = made["response"]
    if "patch" in response:
        assert response["patchType"] == "JSONPatch"
        response["operations"] = json.loads(base64.b64decode(response["patch"]))
    return response
