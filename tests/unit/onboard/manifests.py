"""Manifests in many layouts, for the tests of `inject`: written by hand of common kinds, and made at random."""

import json
from typing import Any

from hypothesis import strategies as st

DEPLOYMENT = """\
# The front of the shop.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop   # as in the DNS name
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata:
      labels: {app: shop}
    spec:
      # one container, no more

      containers:
      - name: app          # the app
        image: "shop:1"
        ports: [{containerPort: 8080}]
"""
CRON_JOB = """\
apiVersion: batch/v1
kind: CronJob
metadata: {name: tidy}
spec:
    schedule: "*/5 * * * *"
    jobTemplate:
        spec:
            template:
                spec:
                    restartPolicy: Never
                    containers:
                        -   name: tidy
                            image: tidy:1
"""
POD = """\
---
apiVersion: v1
kind: Pod
metadata:
  name: one
  annotations: {}
spec:
  initContainers: []
  containers:
    - image: app:1
      name: app
"""
LIST = """\
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Service
  metadata: {name: shop}
  spec: {selector: {app: shop}, ports: [{port: 80}]}
- apiVersion: v1
  kind: Pod
  metadata:
    name: two
  spec:
    initContainers:
    # prepares
    - name: prepare
      image: app:1
    containers:
    - name: app
      image: app:1
"""
STATEFUL = """\
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: db
spec:
  serviceName: db
  selector:
    matchLabels:
      app: db
  template:
    metadata:
      annotations:
        # who is to be called
        team: "data"
      labels:
        app: db
    spec:
      volumes:
      - name: data
        emptyDir: {}
      containers:
      - name: db
        image: db:1
        command:
        - sh
        - -c
        - |
          exec db \\
            --flag

      terminationGracePeriodSeconds: 30"""
JSON = json.dumps(
    {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "once"},
        "spec": {
            "template": {
                "metadata": {"annotations": {"team": "data"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "once", "image": "once:1"}]},
            }
        },
    },
    indent=2,
)
NAMED = {
    "deployment": DEPLOYMENT,
    "cron-job": CRON_JOB,
    "pod": POD,
    "list": LIST,
    "stateful-set-no-newline": STATEFUL,
    "json": JSON,
    "json-one-line": json.dumps(json.loads(JSON)),
    "windows": DEPLOYMENT.replace("\n", "\r\n"),
    "many": f"{DEPLOYMENT}---\n{CRON_JOB}...\n{POD}---\n{STATEFUL}\n",
}


def pod(layout: st.DataObject) -> dict[str, Any]:
    """A pod's metadata and spec as values."""
    draw = layout.draw
    metadata: dict[str, Any] = {"name": "p"}
    if draw(st.booleans()):
        metadata["annotations"] = draw(
            st.dictionaries(st.sampled_from(["team", "a/b", "z"]), st.text(max_size=8), max_size=2)
        )
    if draw(st.booleans()):
        metadata["labels"] = {"app": draw(st.text(max_size=3))}
    spec: dict[str, Any] = {
        "containers": [{"name": "app", "image": "app:1", "args": draw(st.lists(st.text(max_size=9)))}]
    }
    if draw(st.booleans()):
        spec["initContainers"] = [{"name": f"i{n}", "image": "i:1"} for n in range(draw(st.integers(0, 2)))]
    if draw(st.booleans()):
        spec["volumes"] = [{"name": f"v{n}", "emptyDir": {}} for n in range(draw(st.integers(0, 2)))]
    order = draw(st.permutations(sorted(spec)))
    return {"metadata": metadata, "spec": {key: spec[key] for key in order}}


def text(layout: st.DataObject, value: Any, indent: int = 0, *, flow: bool = False) -> str:
    """The value as YAML, laid out at random: block or flow, comments, blank lines, indented lists or not."""
    draw = layout.draw
    if not value or not isinstance(value, dict | list):
        return json.dumps(value)
    if flow or draw(st.integers(0, 6)) == 0:
        return json.dumps(value, indent=draw(st.sampled_from([None, None, 2])) if not flow else None).replace(
            "\n", "\n" + " " * (indent + 1)
        )
    lines = []
    for key, one in value.items() if isinstance(value, dict) else ((None, one) for one in value):
        lines.append(draw(st.sampled_from(["", "", "", " " * indent + "# said before\n", "\n"])))
        if key is None:
            lines.append(" " * indent + "- " + text(layout, one, indent + 2).lstrip(" \n"))
            continue
        deeper = indent + draw(st.sampled_from([2, 4]))
        if isinstance(one, list) and draw(st.booleans()):
            deeper = indent
        inner = text(layout, one, deeper)
        is_block = isinstance(one, dict | list) and bool(one) and not inner.startswith(("{", "["))
        tail = draw(st.sampled_from(["", "", "  # said behind"]))
        lines.append(" " * indent + key + ":" + (f"{tail}\n{inner}" if is_block else f" {inner}"))
        if not is_block and "\n" not in inner:
            lines[-1] += tail
        lines.append("")
    return _joined(lines)


def _joined(lines: list[str]) -> str:
    out = ""
    for line in lines:
        if not line:
            continue
        out += line if line.endswith("\n") else line + "\n"
    return out
