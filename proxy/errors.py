"""Why the proxy can't start, by who can mend it. The front door turns each into its exit code."""


class ProxyError(Exception):
    """The proxy can't start or go on (exit 1)."""

    exit_code = 1


class BadSetting(ProxyError):
    """A flag is wrong (exit 2): the message names the flag, the token and what is allowed."""

    exit_code = 2

    def __init__(self, flag: str, token: object, allowed: str) -> None:
        super().__init__(f"{flag}: {str(token)!r} is not valid: {allowed}")
        self.flag = flag
        self.allowed = allowed


class AddressInUse(ProxyError):
    """Somebody else listens where we should (exit 1)."""

    def __init__(self, flag: str, address: str) -> None:
        super().__init__(f"{flag}: {address} is in use by another process; stop it or choose another port")


class PrivilegeMissing(ProxyError):
    """A capability is missing (exit 4), which the message names."""

    exit_code = 4

    def __init__(self, capability: str, needed_for: str) -> None:
        super().__init__(f"{capability} is missing: it is needed to {needed_for}")
        self.capability = capability


class MissingLibrary(ProxyError):
    """Something is asked for that needs a library which is not installed (exit 3)."""

    exit_code = 3

    def __init__(self, library: str, needed_for: str, package: str) -> None:
        super().__init__(
            f"{library} is not installed: it is needed to {needed_for}; install it with: pip install '{package}'"
        )
