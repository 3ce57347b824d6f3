"""Which capabilities this thread has, asked before a library complains in its own words."""

from intercept.errors import PrivilegeMissing

NET_ADMIN = 12
NET_RAW = 13
SYS_PTRACE = 19
_NAMES = {NET_ADMIN: "CAP_NET_ADMIN", NET_RAW: "CAP_NET_RAW", SYS_PTRACE: "CAP_SYS_PTRACE"}


def has(capability: int) -> bool:
    """Effective here and now. In another user namespace than the network namespace's it may count for nothing."""
    try:
        with open("/proc/thread-self/status", encoding="ascii", errors="replace") as file:
            effective = next((line for line in file if line.startswith("CapEff:")), "CapEff: 0")
    except OSError:
        return True  # without /proc the kernel's own refusal has to do
    return bool(int(effective.split()[1], 16) >> capability & 1)


def require(capability: int, needed_for: str) -> None:
    """Raises PrivilegeMissing."""
    if not has(capability):
        raise PrivilegeMissing(_NAMES[capability], needed_for)
