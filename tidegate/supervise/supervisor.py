"""The order of one run: scope, guardian, proxy, capture, proof, command; and back."""

import os
import signal
import socket
import sys
import time
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from intercept import capture
from intercept.host import cgroups
from intercept.host.facts import read_host
from intercept.plan.stored import document_of
from proxy.start import seccomp
from tidegate import processes
from tidegate.supervise import command, guardian, observed, proof, scope
from tidegate.supervise.attend import Attendance
from tidegate.supervise.hosts_file import read_hosts
from tidegate.supervise.inherited import Inherited
from tidegate.supervise.live import Live
from tidegate.supervise.observed import Observed
from tidegate.supervise.proxy_flags import scoped
from tidegate.supervise.requests import Requests
from tidegate.supervise.serving import Serving
from tidegate.supervise.settings import ANY_PORT, RunSettings


@dataclass(frozen=True, slots=True)
class Outcome:
    exit_code: int
    mode: str
    duration_ms: float
    connections: list[dict[str, Any]]
    requests: Requests
    not_captured: tuple[str, ...]
    """What the mode leaves out, in words."""
    observed: Observed | None
    """None: this host can't tell what was not captured."""


def run(settings: RunSettings) -> Outcome:
    """Run one command with its traffic captured. Raises what `run`'s users see as exit code 125, 126 or 127.

    Whatever happens, nothing of the run is left in the kernel when this returns or raises.
    """
    inherited = Inherited.look()
    heard = command.FORWARDED | {signal.SIGCHLD}
    with ExitStack() as undo:
        signal.pthread_sigmask(signal.SIG_BLOCK, heard)
        undo.callback(signal.pthread_sigmask, signal.SIG_SETMASK, inherited.mask)
        # Ignored, as a caller may have left it, it would keep the command's exit code from us.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signals = processes.signalfd(heard)
        undo.callback(os.close, signals)
        _sweep(settings.wait_s)
        run_scope = scope.create()
        undo.callback(run_scope.remove)
        why_not = seccomp.why_not() if settings.filtered else None
        if why_not is not None:
            say(f"the guardian and the proxy may make every system call: {why_not} (--seccomp off: as it is meant)")
        guard = guardian.Post(lambda: _undo(run_scope, settings.wait_s), filtered=settings.filtered)
        undo.callback(guard.leave)
        serving = Serving(_with_admin(settings), run_scope.proxy, say, run_scope.announce)
        undo.callback(serving.close)
        observation = observed.begin(run_scope.command)  # before the hooks that steer
        if observation is not None:
            undo.callback(observation.close)
        bound = capture.bind(
            scoped(settings.intent, cgroups.path_of(run_scope.command), serving.ports),
            name=run_scope.name,
            wait_s=settings.wait_s,
        )
        undo.callback(bound.close)
        run_scope.captures(document_of(bound.plan))
        for warning in bound.warnings:
            say(warning)
        serving.begin_direct(bound.direct)
        proof.prove(bound.plan, serving.process, run_scope.command)
        if observation is not None:
            observation.forget()  # the proof's connections
        started = time.monotonic()
        child = command.start(settings, run_scope.command, inherited)
        with Live(read_hosts()) if settings.live else nullcontext() as live:
            exit_code = Attendance(settings, run_scope, serving, guard, live).until_ended(child, signals, bound)
        duration_ms = (time.monotonic() - started) * 1000
        _end_what_is_left(run_scope)
        serving.finish(signals)
        seen = None if observation is None else observed.finish(observation, bound.plan, read_host())
        return Outcome(
            exit_code,
            str(bound.mode),
            duration_ms,
            serving.records,
            serving.requests,
            bound.plan.not_captured,
            seen,
        )


def _with_admin(settings: RunSettings) -> RunSettings:
    """Where loopback is down there is no address for an admin endpoint, and a run goes on without."""
    if settings.admin != ANY_PORT:
        return settings
    try:
        with socket.create_server(("127.0.0.1", 0)):
            return settings
    except OSError:
        return replace(settings, admin="off")


def _end_what_is_left(run_scope: scope.Scope) -> None:
    left = run_scope.left()
    if left:
        names = ", ".join(f"{name} (pid {pid})" for pid, name in left)
        say(f"still running after the command, and ended now: {names}; --follow waits for them instead")
        run_scope.end_command()


def _sweep(wait_s: float) -> None:
    """Remove what runs left behind whose supervisor and guardian were both killed."""
    for folder in scope.abandoned(cgroups.mount_point()):
        if scope.has_rules_elsewhere(folder):
            scope.kill(folder)
            continue
        say(f"removing what a killed run left: {folder.name}")
        _undo(scope.Scope(folder), wait_s)


def _undo(run_scope: scope.Scope, wait_s: float) -> None:
    """What the guardian does, in this order: no process of the run may outlive its capture."""
    scope.kill(run_scope.root)
    try:
        capture.remove(name=run_scope.name, wait_s=wait_s)
    finally:
        run_scope.remove()


def say(text: str) -> None:
    print(f"tidegate: {text}", file=sys.stderr)
