"""Named files and folders as the proxy's source of policy: read, validated and compiled whole, or refused whole."""

import gc
import logging
import os
import time
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace

from mesh.capture import capture_problems
from mesh.compile.compiler import Compiler
from mesh.compile.home import Home
from mesh.compile.patches import NO_PATCHES, Patch, Patches, read_patch
from mesh.documents import Documents
from mesh.reading import Reader
from mesh.yaml import files
from mesh.yaml.problems import ConfigError, Problem, Problems, Severity
from proxy.core.policy.policy import Policy, ServiceName
from proxy.feed.source import Change, PolicyRefused

_REST_S = 0.03
_TRIES = 10
_log = logging.getLogger("mesh")


@dataclass(frozen=True, slots=True)
class Loaded:
    """One successful reading. `problems` are warnings only."""

    policy: Policy
    documents: Documents
    problems: tuple[Problem, ...]


def load(paths: Sequence[str], namespace: str | None = None) -> Loaded:
    """Read, validate and compile. Raises ConfigError with everything that is wrong. namespace: the workload's own;
    None: what POD_NAMESPACE says, if anything."""
    with without_collector():
        return _Loader(namespace).load(paths)


class _Loader:
    """Reads and compiles again and again: only what has changed since."""

    def __init__(self, namespace: str | None = None) -> None:
        home = Home.of(os.environ)
        self._home = replace(home, namespace=namespace or home.namespace)
        self._reader = Reader()
        self._compiler = Compiler(self._home)
        self._documents = Documents()

    def load(self, paths: Sequence[str], patches: Patches = NO_PATCHES) -> Loaded:
        problems = Problems()
        documents = self._reader.read(paths, problems)
        capture_problems(documents, problems)
        # What is refused leaves no trace in the compiler, and yet its warnings are told.
        compiler = Compiler(self._home) if problems.errors else self._compiler
        policy = compiler.compile(documents, problems, patches).policy
        problems.refuse_if_any()
        self._documents = documents
        return Loaded(policy, documents, problems.sorted())

    def anew(self) -> "_Loader":
        """With a compiler that nothing has gone wrong in, and the documents that were accepted last."""
        other = _Loader(self._home.namespace)
        other._documents = self._documents
        return other

    def patch(self, patches: Patches) -> Loaded:
        """Of the documents that were accepted last, whatever has become of their files."""
        documents, problems = self._documents, Problems()
        for one in documents.files:
            problems.extend(one.problems)
        policy = self._compiler.compile(documents, problems, patches).policy
        problems.refuse_if_any()
        return Loaded(policy, documents, problems.sorted())


@contextmanager
def without_collector() -> Iterator[None]:
    """Loading makes hundreds of thousands of objects that stay, and no cycles: the garbage collector would look at them
    again and again in vain."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


Made = dict[ServiceName, tuple[Change, Patch]]


def _patches(made: Made) -> Patches:
    return {name: patch for name, (_, patch) in made.items()}


class ConfigSource:
    """What `proxy.feed.source.PolicySource` asks for."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = tuple(os.path.abspath(path) for path in paths)
        self._names = tuple(paths)
        self._seen: files.Fingerprint = ()
        self._loader = _Loader()
        self._made: Made = {}

    @property
    def names(self) -> tuple[str, ...]:
        return self._names

    def folders(self) -> Set[str]:
        return files.folders(self._paths)

    def changed(self) -> bool:
        return files.fingerprint(self._paths) != self._seen

    def changes(self) -> tuple[tuple[Change, tuple[str, ...]], ...]:
        return tuple((change, patch.names) for change, patch in self._made.values())

    def change(self, change: Change) -> tuple[Policy, tuple[str, ...]]:
        service = ServiceName(change.namespace, change.name)
        made = {name: one for name, one in self._made.items() if name != service}
        try:
            if change.patch is not None:
                made[service] = (change, read_patch(service, change.patch))
            with without_collector():
                loaded = self._loader.patch(_patches(made))
        except ConfigError as wrong:
            raise PolicyRefused(tuple(str(problem) for problem in wrong.problems)) from None
        except Exception:
            self._loader = self._loader.anew()
            raise
        self._made = made
        return loaded.policy, tuple(str(problem) for problem in loaded.problems)

    def load(self) -> tuple[Policy, tuple[str, ...]]:
        """Changes at run time end with it, but for those that are kept. Waits until the files are at rest, so that no
        half-written file or half-swapped folder is read. Raises PolicyRefused."""
        kept = {name: one for name, one in self._made.items() if one[0].keep}
        refused: ConfigError | None = None
        loaded: Loaded | None = None
        for _ in range(_TRIES):
            self._seen = self._settled()
            refused = loaded = None
            try:
                with without_collector():
                    loaded = self._loader.load(self._paths, _patches(kept))
            except ConfigError as wrong:
                refused = wrong
            except Exception as defect:
                # No document may end the proxy. What was compiled half is not built upon.
                _log.exception("reading the configuration failed")
                self._loader = self._loader.anew()
                raise PolicyRefused((f"internal error: {defect!r}",)) from defect
            if not self.changed():
                break
        if loaded is None:
            problems = () if refused is None else refused.problems
            raise PolicyRefused(tuple(str(problem) for problem in problems))
        self._made = kept
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
            return before  # the first reading, or one that was asked for: no file is being written
        for _ in range(_TRIES):
            time.sleep(_REST_S)
            after = files.fingerprint(self._paths)
            if after == before:
                break
            before = after
        return before
