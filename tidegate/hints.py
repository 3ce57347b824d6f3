"""What to do next about a line that says that something is wrong: a command, or the page that explains it. Pure."""

import re

ABSENT = "tidegate init"
DRIFTED = "the same `tidegate init` again, with the flags of the line intent, or `tidegate cleanup`"
NOT_HEARD = "tidegate proxy, or tidegate adopt --pid PID for a proxy of another make"
LEFT_OUT = "docs/capture.md"
CHECK = "tidegate check"
EXISTING = "tidegate init --close-existing, or a restart of the workload; docs/capture.md"

_UNHEARD = ("listens", "no proxy")
_PRIVILEGES = re.compile(r"CAP_[A-Z]+|permission|not permitted|privilege", re.IGNORECASE)
_PACKAGE = re.compile(r"apt install [\w.+-]+")


def hinted(text: str, hint: str | None) -> str:
    """The line with its hint at the end."""
    return text if not hint else f"{text.rstrip('.')}; next: {hint}"


def of_probe(name: str, detail: str) -> str:
    """A failed probe of `check`."""
    if name == "capture":
        return ABSENT
    if any(word in detail for word in _UNHEARD):
        return f"{NOT_HEARD}; --stand-in checks the rules alone"
    direction = "inbound" if name.startswith(("inbound", "hairpin")) else "outbound"
    if name.startswith("dns"):
        return "tidegate explain outbound --protocol udp --dst IP:53"
    return f"tidegate explain {direction} --dst IP:PORT, and tidegate status"


def of_mode(mode: str, reason: str) -> str:
    """A mode that does not work, as `doctor` tells."""
    package = _PACKAGE.search(reason)
    if package is not None:
        return package[0]
    if _PRIVILEGES.search(reason):
        return "tidegate doctor as root; SECURITY.md has the rights that each command needs"
    return "docs/kernels.md" if mode == "ebpf" else "docs/capture.md"


NO_MODE = "docs/kernels.md; `tidegate doctor` as root, where a right is missing"
HOOK = "docs/kernels.md"
FEATURE = "docs/kernels.md"
UNTRIED = "tidegate doctor as root"
ADVICE = "docs/hosts.md"
