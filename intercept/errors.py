"""What can go wrong with capture, by who can mend it. The front door turns each into its exit code."""


class CaptureError(Exception):
    """Something failed and whatever was begun has been rolled back (exit 1)."""

    exit_code = 1


class BadInput(CaptureError):
    """The caller's flag or document is wrong; nothing was changed (exit 2).

    The message names the flag (or file:line), the offending token and what is allowed.
    """

    exit_code = 2

    def __init__(self, where: str, token: str, allowed: str) -> None:
        super().__init__(f"{where}: {token!r} is not valid: {allowed}")
        self.where = where
        self.token = token
        self.allowed = allowed


class Unsupported(CaptureError):
    """This kernel or host lacks something, which the message names (exit 3)."""

    exit_code = 3


class PrivilegeMissing(CaptureError):
    """A capability is missing, which the message names (exit 4)."""

    exit_code = 4

    def __init__(self, capability: str, needed_for: str) -> None:
        super().__init__(f"{capability} is missing: it is needed to {needed_for}")
        self.capability = capability
