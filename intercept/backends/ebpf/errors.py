"""The kernel's and libbpf's complaints as errors that say what to do."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bpf import attach, bpffs
from cext.libbpf.libbpf import BpfError
from intercept.errors import CaptureError, PrivilegeMissing, Unsupported

# PERFMON: without it the verifier guards against speculation, and refuses what spills pointers.
_NEEDED = {12: "CAP_NET_ADMIN", 39: "CAP_BPF", 38: "CAP_PERFMON"}
_SYS_ADMIN = 21
_LACKS = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.E2BIG}


@contextmanager
def translated() -> Iterator[None]:
    """For the length of a `with` block: nothing but CaptureError and its kin leaves it for a foreseeable reason."""
    try:
        yield
    except BpfError as error:
        raise _of_bpf(error) from error
    except bpffs.NoBpffs as error:
        raise Unsupported(f"ebpf mode: {error}") from error
    except bpffs.Busy as error:
        raise CaptureError(f"{error}; try again, or wait longer with --wait") from error
    except PermissionError as error:
        raise PrivilegeMissing(_missing_capability() or "CAP_SYS_ADMIN", f"use ebpf mode ({error.strerror})") from error
    except OSError as error:
        raise CaptureError(f"ebpf mode: {error}") from error


def require_capabilities() -> None:
    """Before anything is begun. Some kernels take CAP_SYS_ADMIN for part of it: that would end halfway."""
    missing = _missing_capability()
    if missing is not None:
        raise PrivilegeMissing(missing, "use ebpf mode")


def _of_bpf(error: BpfError) -> CaptureError:
    log = f"\n{error.log.rstrip()}" if error.log.strip() else ""
    if error.errno == errno.EPERM:
        capability = _missing_capability()
        if capability is not None:
            return PrivilegeMissing(capability, f"use ebpf mode ({error.strerror})")
        return Unsupported(f"ebpf mode: this host does not let us {error.strerror}{log}")
    if error.errno in _LACKS:
        if log and error.errno == errno.EACCES:
            asked = "this kernel's verifier refused a program of ours; please report it with this text"
            return Unsupported(f"ebpf mode: {error.strerror}: {asked}{log}")
        since = _since(error.strerror or "")
        return Unsupported(f"ebpf mode: {error.strerror}{since}{log}")
    return CaptureError(f"ebpf mode: {error.strerror}{log}")


def _since(what: str) -> str:
    for hook in attach.ALL:
        if f" {hook.object}:" in f"{what} " or f"attach {hook.name}:" in f"{what}:":
            return f" (the hook {hook.name} needs Linux {hook.kernel})"
    return ""


def _missing_capability() -> str | None:
    """The first that ebpf mode needs and this process lacks; None: it has them."""
    for line in Path("/proc/thread-self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
            if held >> _SYS_ADMIN & 1:
                held |= 1 << 39 | 1 << 38
            return next((name for bit, name in _NEEDED.items() if not held >> bit & 1), None)
    return None
