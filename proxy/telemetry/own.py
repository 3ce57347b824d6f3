"""Reads who the workload is that this proxy serves: environment, and the pod's labels from the downward API's file."""

import contextlib
import os
from pathlib import Path

from proxy.core.report.identity import Identity, identity

LABELS_FILE = "TIDEGATE_LABELS_FILE"
USUAL_FILES = ("/etc/podinfo/labels", "/etc/istio/pod/labels")
"""Where the downward API's file is looked for when the environment names none."""
_LONGEST = 1 << 20


def own_identity() -> Identity:
    """Of this process' environment. A labels file that can't be read says nothing."""
    named = os.environ.get(LABELS_FILE)
    for path in (named,) if named else USUAL_FILES:
        with contextlib.suppress(OSError), Path(path).open(encoding="utf-8", errors="replace") as file:
            return identity(os.environ, file.read(_LONGEST))
    return identity(os.environ)
