"""Probes that `run`, `check` and readiness send through the capture: who connects to a registered original destination
gets the token back, which proves that the connection really went through the capture and reached this very proxy."""

from proxy.core.addresses import OriginalDestination

MAX_PROBES = 1024
MAX_TOKEN = 256
DEFAULT_LIFETIME_S = 30.0


class ProbeError(ValueError):
    """A probe can't be registered; the message says why."""


class ProbeRegistry:
    """Original destinations whose connections are answered with a token. Times are seconds of one monotonic clock,
    passed in by the caller. A probe stays until it expires: a prober may have to try more than once."""

    def __init__(self) -> None:
        self._expected: dict[OriginalDestination, tuple[str, float]] = {}

    def __len__(self) -> int:
        return len(self._expected)

    def expect(self, destination: OriginalDestination, token: str, now: float, lifetime_s: float) -> None:
        """Registers (or replaces) a probe. Raises ProbeError when the token is unusable or too many are waiting."""
        if not token or len(token) > MAX_TOKEN or not token.isascii() or not token.isprintable():
            raise ProbeError(f"a token is 1 to {MAX_TOKEN} printable ASCII characters")
        if not 0 < lifetime_s <= 3600:
            raise ProbeError("a probe lives more than 0 and at most 3600 seconds")
        self._forget_expired(now)
        if destination not in self._expected and len(self._expected) >= MAX_PROBES:
            raise ProbeError(f"{MAX_PROBES} probes are waiting already")
        self._expected[destination] = (token, now + lifetime_s)

    def token_for(self, destination: OriginalDestination, now: float) -> str | None:
        """The token that a connection to this destination gets, or None: it is no probe."""
        if not self._expected:
            return None
        found = self._expected.get(destination)
        if found is None:
            return None
        token, expires = found
        if now >= expires:
            del self._expected[destination]
            return None
        return token

    def expected(self, now: float) -> set[OriginalDestination]:
        """Where probes may still come from now on."""
        self._forget_expired(now)
        return set(self._expected)

    def _forget_expired(self, now: float) -> None:
        for destination in [d for d, (_, expires) in self._expected.items() if now >= expires]:
            del self._expected[destination]
