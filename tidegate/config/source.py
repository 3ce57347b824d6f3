"""Named files and folders as the proxy's source of policy: read, validated and compiled whole, or refused whole."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from proxy.core.policy import Policy
from tidegate.config import files
from tidegate.config.compiling import compiled
from tidegate.config.documents import Documents, read
from tidegate.config.intents import capture_problems
from tidegate.config.problems import Problem, Problems


@dataclass(frozen=True, slots=True)
class Loaded:
    """One successful reading. `problems` are warnings only."""

    policy: Policy
    documents: Documents
    problems: tuple[Problem, ...]


def load(paths: Sequence[str], namespace: str | None = None) -> Loaded:
    """Read, validate and compile. Raises ConfigError with everything that is wrong. namespace: the workload's own;
    None: what POD_NAMESPACE says, if anything."""
    problems = Problems()
    documents = read(paths, problems)
    capture_problems(documents, problems)
    policy = compiled(documents, problems, namespace or os.environ.get("POD_NAMESPACE") or None)
    problems.refuse_if_any()
    return Loaded(policy, documents, problems.sorted())


class ConfigSource:
    """What `proxy.policy_source` asks for. May be called from any thread, one call at a time."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = tuple(paths)
        self._seen: files.Fingerprint = ()

    @property
    def names(self) -> tuple[str, ...]:
        return self._paths

    def folders(self) -> set[str]:
        return files.folders(self._paths)

    def changed(self) -> bool:
        """Whether the files differ from those of the last `load`."""
        return files.fingerprint(self._paths) != self._seen

    def load(self) -> tuple[Policy, tuple[str, ...]]:
        """The policy and warnings. Raises ConfigError. Either way `changed` counts from the files as they were before,
        so that a file written meanwhile is read again."""
        self._seen = files.fingerprint(self._paths)
        loaded = load(self._paths)
        return loaded.policy, tuple(str(problem) for problem in loaded.problems)
