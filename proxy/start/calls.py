"""The system calls of the proxy. Held to what it really makes by the tests that run it under the filter.

A new call of ours, or of a library's newer version, belongs here. One that is missing fails with ENOSYS.
"""

import os

from proxy.start.seccomp import Filter


def calls(text: str) -> frozenset[str]:
    return frozenset(text.split())


FILES = calls(
    """
    access chdir close close_range dup dup2 dup3 faccessat faccessat2 fadvise64 fcntl fstat fstatfs getcwd
    getdents64 lseek lstat newfstatat pread64 preadv preadv2 read readlink readlinkat readv stat statfs statx
    pwrite64 pwritev pwritev2 write writev
    """
)
"""With files that are open, and asking about others."""
_READ_ONLY = os.O_ACCMODE | os.O_TRUNC, os.O_RDONLY
OPENING_TO_READ = {"open": (1, *_READ_ONLY), "openat": (2, *_READ_ONLY)}
OPENING = frozenset({"open", "openat", "openat2"})

RUNTIME = FILES | calls(
    """
    brk madvise membarrier mmap mprotect mremap msync munmap arch_prctl futex futex_waitv restart_syscall rseq
    sched_getaffinity sched_getparam sched_getscheduler sched_yield set_robust_list set_tid_address tgkill
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigtimedwait sigaltstack capget getegid geteuid getgid
    getgroups getpgrp getpid getppid getresgid getresuid getsid gettid getuid getcpu getrandom getrlimit getrusage
    prlimit64 setrlimit sysinfo times uname clock_getres clock_gettime clock_nanosleep gettimeofday nanosleep time
    epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd2 pipe2 poll ppoll pselect6 select exit
    exit_group
    """
)
"""What CPython, glibc and threads need of any process."""

SOCKETS = calls(
    """
    accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg
    sendto setsockopt shutdown socketpair
    """
)

NEVER = calls(
    """
    acct add_key adjtimex clock_adjtime clock_settime iopl ioperm kexec_file_load kexec_load keyctl
    open_by_handle_at pivot_root process_vm_readv process_vm_writev ptrace quotactl reboot request_key settimeofday
    swapoff swapon userfaultfd
    """
)
"""No process of ours has a reason to."""

FATAL_WITHOUT_RIGHTS = NEVER | calls(
    """
    bpf capset chroot delete_module execve execveat finit_module fsconfig fsmount fsopen fspick init_module mount
    mount_setattr move_mount open_tree perf_event_open pidfd_getfd setdomainname setfsgid setfsuid setgid setgroups
    sethostname setns setregid setresgid setresuid setreuid setuid umount2 unshare
    """
)
"""For a process that has given everything up: it can't mean to, so somebody else does."""

_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
FAMILIES = frozenset({_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK})
_TCGETS, _TIOCGWINSZ, _SIOCOUTQ, _FIONREAD, _FIONBIO, _FIONCLEX, _FIOCLEX = (
    0x5401,
    0x5413,
    0x5411,
    0x541B,
    0x5421,
    0x5450,
    0x5451,
)
_SIOCGIFNAME, _SIOCGIFINDEX = 0x8910, 0x8933
_PR_SET_NAME, _PR_GET_NAME, _PR_SET_VMA = 15, 16, 0x53564D41
_CLONE_THREAD = 0x00010000

PROXY = Filter(
    allowed=RUNTIME | SOCKETS | frozenset({"inotify_add_watch", "inotify_init1", "inotify_rm_watch", "splice", "tee"}),
    only={
        "socket": (0, FAMILIES),
        "ioctl": (
            1,
            frozenset(
                {
                    _TCGETS,
                    _TIOCGWINSZ,
                    _SIOCOUTQ,
                    _FIONREAD,
                    _FIONBIO,
                    _FIONCLEX,
                    _FIOCLEX,
                    _SIOCGIFNAME,
                    _SIOCGIFINDEX,
                }
            ),
        ),
        "prctl": (0, frozenset({_PR_SET_NAME, _PR_GET_NAME, _PR_SET_VMA})),
    },
    # No file is opened to be written. Threads, and no processes: clone3, whose flags no filter can read, is not
    # allowed, and glibc then takes clone.
    masked={"clone": (0, _CLONE_THREAD, _CLONE_THREAD), **OPENING_TO_READ},
    fatal=FATAL_WITHOUT_RIGHTS,
)
