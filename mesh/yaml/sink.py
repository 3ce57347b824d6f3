"""Where the walk over a tree tells what is wrong with it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mesh.yaml.nodes import Mapping, Node, Scalar
from mesh.yaml.problems import Place, Problems


class Invalid(Exception):
    """A text is not what its check allows; the message says what is allowed."""


@dataclass(frozen=True, slots=True)
class Sink:
    """One file's problems, as the readers of values note them."""

    file: str
    problems: Problems

    def invalid(self, node: Node, path: str, allowed: str) -> Any:
        token = node.text if isinstance(node, Scalar) else "a mapping" if isinstance(node, Mapping) else "a list"
        self.problems.invalid(Place(self.file, node.line), path, token, allowed)
        return BAD

    def error(self, line: int, message: str) -> Any:
        self.problems.error(Place(self.file, line), message)
        return BAD

    def warning(self, line: int, message: str) -> None:
        self.problems.warning(Place(self.file, line), message)


BAD: Any = object()
"""In place of a value that is wrong, once that has been noted."""
Read = Callable[[Node, str, Sink], Any]
"""Makes the value of a field from its node; the text is the field's path, for messages."""
