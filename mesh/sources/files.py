"""Named files and folders as the proxy's source of policy: read, validated and compiled whole, or refused whole."""

import os
import time
from collections.abc import Sequence, Set
from dataclasses import dataclass

from mesh.capture import capture_problems
from mesh.compile import compiled
from mesh.documents import Documents, read
from mesh.yaml import files
from mesh.yaml.problems import ConfigError, Problem, Problems, Severity
from proxy.core.policy.policy import Policy
from proxy.feed.source import PolicyRefused

_REST_S = 0.03
_TRIES = 10


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
    """What `proxy.feed.source.PolicySource` asks for."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = tuple(os.path.abspath(path) for path in paths)
        self._names = tuple(paths)
        self._seen: files.Fingerprint = ()

    @property
    def names(self) -> tuple[str, ...]:
        return self._names

    def folders(self) -> Set[str]:
        return files.folders(self._paths)

    def changed(self) -> bool:
        return files.fingerprint(self._paths) != self._seen

    def load(self) -> tuple[Policy, tuple[str, ...]]:
        """Waits until the files are at rest: nobody's half-written file, no half-swapped folder. Raises
        PolicyRefused."""
        refused: ConfigError | None = None
        loaded: Loaded | None = None
        for _ in range(_TRIES):
            self._seen = self._settled()
            refused = loaded = None
            try:
                loaded = load(self._paths)
            except ConfigError as wrong:
                refused = wrong
            if not self.changed():
                break
        if loaded is None:
            problems = () if refused is None else refused.problems
            raise PolicyRefused(tuple(str(problem) for problem in problems))
        return loaded.policy, tuple(str(problem) for problem in loaded.problems)

    def unreadable(self) -> tuple[str, ...]:
        problems = Problems()
        for path in files.expand(self._paths, problems):
            files.try_to_open(path, problems)
        return tuple(str(problem) for problem in problems if problem.severity is Severity.ERROR)

    def _settled(self) -> files.Fingerprint:
        """The files' state, seen twice in a row; the last one seen where they never rest."""
        before = files.fingerprint(self._paths)
        if before == self._seen or not self._seen:
            return before  # the first reading, or asked for: nobody is writing
        for _ in range(_TRIES):
            time.sleep(_REST_S)
            after = files.fingerprint(self._paths)
            if after == before:
                break
            before = after
        return before
