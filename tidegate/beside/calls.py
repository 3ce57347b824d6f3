"""The system calls of the processes beside the proxy.

As for the proxy's (proxy/start/calls.py): one that is missing here fails with ENOSYS, and the tests that run each
process at its work hold the lists to what is really made.
"""

from proxy.start.calls import FATAL_WITHOUT_RIGHTS, NEVER, OPENING, OPENING_TO_READ, RUNTIME, SOCKETS, calls
from proxy.start.seccomp import Filter

_CHANGING_FILES = calls(
    """
    chmod chown fchdir fchmod fchmodat fchown fchownat flock fsync ftruncate link linkat mkdir mkdirat mknod mknodat
    rename renameat renameat2 rmdir symlink symlinkat umask unlink unlinkat
    """
)
_PROCESSES = calls(
    """
    clone clone3 execve fork getpgid kill pidfd_open pidfd_send_signal setpgid setsid vfork wait4 waitid
    """
)
"""Probes are processes, and reading iptables' tables can take modprobe(8)."""
_RIGHTS = calls(
    """
    bpf capset chroot mount pidfd_getfd prctl setgid setgroups setns setresgid setresuid setuid umount2 unshare
    """
)
_OTHERS = frozenset({"ioctl", "memfd_create", "mlock", "munlock", "sendfile", "signalfd4", "socket", "splice"})

CAPTURE = Filter(allowed=RUNTIME | SOCKETS | OPENING | _CHANGING_FILES | _PROCESSES | _RIGHTS | _OTHERS, fatal=NEVER)
"""Who looks at capture, tests it, mends it, and removes it: the companion, its warden, and the guardian of a run."""

KEEPER = Filter(
    allowed=RUNTIME | SOCKETS | {"flock", "ioctl", "prctl", "socket"},
    masked=OPENING_TO_READ,
    fatal=FATAL_WITHOUT_RIGHTS,
)
"""It reads tables and renews elements of sets, in one thread and one process. It is root, and so could write root's
files, were it not for this."""
