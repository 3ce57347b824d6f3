"""What the page needs of a proxy. The front door implements it with the admin address and its network namespace."""

from collections.abc import Iterator
from typing import Any, Protocol


class Gone(Exception):
    """The proxy does not answer, or not what was asked; the message says why."""


class NotTaken(Exception):
    """The proxy refuses a change; the message says why."""


class Proxy(Protocol):
    """Each method may block, and is called by threads of the page's process only. Raises Gone."""

    @property
    def name(self) -> str: ...
    @property
    def admin(self) -> str: ...
    def get(self, path: str) -> Any:
        """The JSON that stands at a path of the admin address."""

    def lines(self, path: str) -> Iterator[bytes]:
        """The lines of an answer that goes on. They end with the proxy."""

    def post(self, path: str, body: Any) -> str:
        """Raises NotTaken as well."""
