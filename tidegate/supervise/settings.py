"""What one `tidegate run` was asked to do."""

from dataclasses import dataclass

from intercept.intent.intent import Intent
from tidegate.supervise.user import User

DRAIN_TIMEOUT_S = 20.0
ANY_PORT = "127.0.0.1:0"


@dataclass(frozen=True, slots=True)
class RunSettings:
    """fixed_ports: the listeners' ports that the user asked for; 0 lets the kernel choose. config: files and folders of
    configuration documents for the proxy, as absolute paths."""

    argv: tuple[str, ...]
    intent: Intent
    fixed_ports: tuple[int, int] = (0, 0)
    wait_s: float = 5.0
    config: tuple[str, ...] = ()
    lane: str = "auto"
    log_level: str = "error"
    drain_timeout_s: float = DRAIN_TIMEOUT_S
    follow: bool = False
    """Wait for the processes that outlive the command, instead of ending them."""
    live: bool = False
    """Whether standard error shows what the command talks, while it does."""
    admin: str = "off"
    """Where the proxy's admin endpoint listens; port 0: any free one."""
    filtered: bool = True
    """Whether the guardian and the proxy may make the system calls only that they need."""
    user: User | None = None
    """The user that the command runs as; None: the caller."""
