"""Questions to a resolver on this host, one after the other where they ask for the same.

A stub resolver asks the servers that it knows; with `--dns all` that question is captured, comes to us, and goes to the
stub again: one question would go round for ever. So while a local server has a question, the same question waits here,
and shares its fate. Where nothing goes round, that costs nothing: the stub would have made it wait as well.
"""

Key = tuple[tuple[str, int], bytes]


class Queues:
    """Pure. Questions are numbers; each is with one server at most."""

    def __init__(self) -> None:
        self._asking: dict[int, Key] = {}
        self._waiting: dict[Key, list[int]] = {}

    def may_ask(self, number: int, server: tuple[str, int], asked: bytes) -> bool:
        """Whether the question may go to the server now. False: it waits, until `done` names it."""
        key = (server, asked)
        if key in self._waiting:
            self._waiting[key].append(number)
            return False
        self._asking[number] = key
        self._waiting[key] = []
        return True

    def done(self, number: int) -> list[int]:
        """The server has answered the question, or is not going to. All that have waited behind it."""
        key = self._asking.pop(number, None)
        return [] if key is None else self._waiting.pop(key)
