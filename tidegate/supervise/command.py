"""Starting the user's command inside its cgroup, and passing it what the terminal and others send."""

import contextlib
import errno
import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path

from intercept.host import cgroups
from tidegate import processes
from tidegate.supervise.inherited import Inherited
from tidegate.supervise.settings import RunSettings

NOT_FOUND = 127
NOT_EXECUTABLE = 126
# Signals for the command that may be sent to us. Stops and continues reach the whole process group by themselves.
FORWARDED = {
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT,
    signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGWINCH,
}  # fmt: skip


class CannotStart(Exception):
    """The command does not exist or cannot be executed; `run_exit_code` is the one that shells use."""

    def __init__(self, command: str, code: int) -> None:
        missing = code == errno.ENOENT
        super().__init__(f"{command}: {'command not found' if missing else os.strerror(code)}")
        self.run_exit_code = NOT_FOUND if missing else NOT_EXECUTABLE


@dataclass(slots=True)
class Command:
    """A started command. `pidfd` is owned here and is readable once it has ended."""

    pid: int
    pidfd: int

    def send(self, received: processes.Received) -> None:
        """Pass a signal on, unless the kernel has given it to the command already (Ctrl-C at a shared terminal)."""
        if received.from_kernel:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.Signals(received.number))

    def has_ended(self) -> bool:
        return bool(select.select([self.pidfd], [], [], 0)[0])

    def wait(self) -> int:
        """The command's own exit code, or 128 + signal when it died of one."""
        _, status = os.waitpid(self.pid, 0)
        os.close(self.pidfd)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code


def start(settings: RunSettings, folder: Path, inherited: Inherited) -> Command:
    """Fork into `folder` (a cgroup) and execute the command with our terminal, descriptors and limits, with the
    environment and the signals that we were started with, and as the user that was asked for.

    Raises CannotStart when the exec failed, OSError when the cgroup could not be joined; then nothing is left running.
    """
    failure, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(settings, folder, inherited, tell)
    os.close(tell)
    with os.fdopen(failure, "rb") as reader:
        # The write end closes by itself at a successful exec.
        told = reader.read().decode()
    if told:
        os.waitpid(pid, 0)
        stage, code = told.split()
        if stage == "exec":
            raise CannotStart(settings.argv[0], int(code))
        what = f"put the command into {folder}" if stage == "scope" else f"become {settings.user}"
        raise OSError(int(code), f"cannot {what}: {os.strerror(int(code))}")
    return Command(pid, os.pidfd_open(pid))


def _become(settings: RunSettings, folder: Path, inherited: Inherited, tell: int) -> None:
    """In the child, and it never returns."""
    stage = "scope"
    try:
        cgroups.join(folder)
        stage = "user"
        if settings.user is not None:
            settings.user.become()
        # After the change of identity, which would undo it.
        processes.die_with_parent()
        if os.getppid() != inherited.pid:
            os._exit(1)
        inherited.restore_signals()
        stage = "exec"
        argv = settings.argv
        os.execvpe(argv[0], argv, inherited.environment_of_child())  # noqa: S606  # what the user asked us to run
    except OSError as error:
        os.write(tell, f"{stage} {error.errno}".encode())
    finally:
        os._exit(1)
