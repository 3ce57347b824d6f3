"""The process that serves one enrolment: a proxy, a capture that lives as long as this process, and a guardian.

It outlives the command that started it, and its terminal: it has a session and a cgroup folder of its own. It ends when
`unenroll` asks it to, or, for a process that was enrolled by its pid, when that has ended with all of its children."""

import contextlib
import json
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from intercept import capture, runs
from intercept.errors import CaptureError
from intercept.host import cgroups
from intercept.intent.intent import Mode, WhenDown
from intercept.plan.stored import document_of
from intercept.results import Bound
from onboard.enroll import moving, registry
from onboard.enroll.listening import listening_ports
from onboard.enroll.registry import Enrolment
from onboard.enroll.selector import Selector, Target
from tidegate import processes
from tidegate.netns import enter
from tidegate.supervise import guardian, proof, scope
from tidegate.supervise.proxy_flags import scoped
from tidegate.supervise.proxy_process import ProxyFailed
from tidegate.supervise.serving import Serving
from tidegate.supervise.settings import RunSettings

LOOK_S = 0.1
"""How often it looks whether the cgroup folder is there, and is the same."""
ENDING = {signal.SIGTERM, signal.SIGINT}
PARENT = "tidegate-enrolments"
"""The folder at the top of cgroup v2 with a folder for each enrolment, for the processes that serve it."""

Told = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """What one `enroll` asks for. settings.intent: without the cgroup and the ports."""

    name: str
    selector: Selector
    target: Target
    settings: RunSettings


def serve(request: Request, tell: Callable[[Told], None]) -> None:
    """Called in the process that is to stay. tell: to be called once, with the enrolment in force; what goes wrong
    before is raised. Returns when the enrolment is over and nothing of it is left."""
    _Enrolled(request).serve(tell)


def undo(one: Enrolment, wait_s: float) -> None:
    """For an enrolment whose process has ended: its workload goes back where it was and on running, and nothing of ours
    stays. May be called again. Call it in the enrolment's network namespace."""
    moved = _moved(one)
    if moved is not None:
        moving.move_back(moved)
    try:
        capture.remove(name=runs.name_of(one.pid, one.started), wait_s=wait_s)
    finally:
        _remove(_own_folder(one.name))
        registry.forget(one.name)


class _Enrolled:
    def __init__(self, request: Request) -> None:
        self._request = request
        self._settings = request.settings
        pid = os.getpid()
        self._one = Enrolment(
            request.name,
            f"{request.selector.kind} {request.selector.text}",
            pid,
            runs.start_time(pid) or 0,
            cgroups.path_of(request.target.folder),
        )
        self._bound: Bound | None = None
        self._folder_id: int | None = None

    def serve(self, tell: Callable[[Told], None]) -> None:
        with ExitStack() as stack:
            signal.pthread_sigmask(signal.SIG_BLOCK, ENDING | {signal.SIGCHLD, signal.SIGHUP})
            signals = processes.signalfd({*ENDING, signal.SIGCHLD, signal.SIGHUP})
            stack.callback(os.close, signals)
            own = _own_folder(self._one.name)
            own.parent.mkdir(exist_ok=True)
            own.mkdir()
            stack.callback(_leave, own)
            cgroups.join(own)
            enter(self._request.target.netns)
            registry.save(self._one)
            stack.callback(registry.forget, self._one.name)
            self._stack = stack
            self._move()
            # With what is known by now; what is moved later is written down before, and read by the guardian.
            self._guard = guardian.Post(lambda: _undo_of(self._one.name))
            stack.callback(self._guard.leave)
            self._serving = Serving(self._settings, own, say)
            stack.callback(self._serving.close)
            self._bind()
            stack.callback(self._unbind)
            ports = self._serving.ports
            self._update(
                outbound_port=ports.outbound,
                inbound_port=ports.inbound,
                dns_port=ports.dns or None,
                admin=f"127.0.0.1:{self._serving.process.admin_port}",
                state="serving",
            )
            tell(self._one.as_dict())
            self._attend(signals)
            self._unbind()  # new connections go direct from here on, while the open ones are finished
            self._move_back()
            self._update(state="draining")
            self._drain(signals)

    # ---- the workload's folder

    def _move(self) -> None:
        if self._request.selector.kind != "pid":
            return
        pid = int(self._request.selector.text)
        home = self._request.target.folder
        folder = home / f"tidegate-enrolment-{self._one.name}"
        # Written down before, so that a process of ours that is killed meanwhile leaves a way back.
        self._update(cgroup=cgroups.path_of(folder), homes={"": str(home)})
        self._stack.callback(self._move_back)
        moved = moving.move(pid, folder)
        self._update(homes={"": str(moved.home), **{str(one): str(where) for one, where in moved.homes.items()}})

    def _move_back(self) -> None:
        moved = _moved(self._one)
        if moved is not None:
            moving.move_back(moved)

    # ---- capture

    def _bind(self) -> None:
        intent = scoped(self._settings.intent, self._one.cgroup, self._serving.ports)
        self._folder_id = cgroups.id_of(self._one.cgroup)
        name = runs.name_for(os.getpid())
        self._bound = bound = capture.bind(intent, name=name, wait_s=self._settings.wait_s)
        try:
            for warning in bound.warnings:
                say(warning)
            self._serving.begin_direct(bound.direct)
            proof.prove(bound.plan, self._serving.process, cgroups.folder_of(self._one.cgroup))
        except BaseException:
            self._unbind()
            raise
        self._update(
            mode=str(bound.mode),
            not_captured=(*bound.not_captured, *self._older_listeners(bound)),
            document=document_of(bound.plan),
        )

    def _older_listeners(self, bound: Bound) -> list[str]:
        """A socket belongs for ever to the cgroup in which it was made, and netfilter asks for that one. The eBPF
        backend registers the listeners by themselves."""
        by_pid, inbound = self._request.selector.kind == "pid", self._settings.intent.inbound.include_ports != ()
        if not by_pid or not inbound or bound.mode is Mode.EBPF:
            return []
        ports = listening_ports(cgroups.processes_in(cgroups.folder_of(self._one.cgroup)))
        why = f"whose listener was opened before: {bound.mode} mode cannot see whose it is"
        return [f"inbound to port {port}, {why}" for port in ports]

    def _unbind(self) -> None:
        if self._bound is not None:
            self._bound.close()
            self._bound = None

    def _follow_folder(self) -> bool:
        """A service that restarts has another folder of the same name. False: the enrolment is over."""
        now = cgroups.id_of(self._one.cgroup)
        by_pid = self._request.selector.kind == "pid"
        if by_pid and (now is None or not cgroups.processes_in(cgroups.folder_of(self._one.cgroup))):
            return False
        if now == self._folder_id and self._bound is not None:
            return True
        self._unbind()
        if now is None:
            if self._one.state != "waiting":
                self._update(state="waiting")
            return True
        try:
            self._bind()
        except Exception as failed:
            if self._folder_id == cgroups.id_of(self._one.cgroup):
                say(f"the folder {self._one.cgroup} is there again and cannot be captured: {failed}")
        else:
            self._update(state="serving")
        return True

    # ---- while it lasts

    def _attend(self, signals: int) -> None:
        refreshing = self._settings.intent.when_down is WhenDown.OPEN
        with selectors.DefaultSelector() as selector:
            selector.register(signals, selectors.EVENT_READ, "signals")
            looked_at = -LOOK_S
            while True:
                # Not at each turn: a proxy tells of every request, and a look reads files.
                if time.monotonic() - looked_at >= LOOK_S:
                    if not self._follow_folder():
                        return
                    looked_at = time.monotonic()
                watched = self._watch(selector)
                for key, _ in selector.select(LOOK_S):
                    if key.data == "signals" and processes.read_signal(signals).number in ENDING:
                        return
                    if key.data == "guard":
                        self._guard.replace()
                    elif key.data == "proxy" and not self._serving.hear() and self._serving.is_up:
                        self._update(admin=f"127.0.0.1:{self._serving.process.admin_port}")
                for descriptor in watched:
                    selector.unregister(descriptor)
                self._serving.tell_counted()
                self._serving.forget_told()
                if refreshing and self._serving.is_up and self._bound is not None:
                    self._bound.refresh()

    def _watch(self, selector: selectors.BaseSelector) -> list[int]:
        """Anew each time: a proxy or guardian that was replaced has another descriptor, often of the same number."""
        found = []
        for what, name in ((self._guard, "guard"), (self._serving.process, "proxy")):
            if what.fileno() >= 0:
                found.append(what.fileno())
                selector.register(what.fileno(), selectors.EVENT_READ, name)
        return found

    def _drain(self, signals: int) -> None:
        """Until the open connections have ended, for the drain's time at most, or until asked again."""
        with contextlib.suppress(ProxyFailed, OSError):
            self._serving.process.drain(self._settings.drain_timeout_s, signals)

    def _update(self, **values: Any) -> None:
        self._one = replace(self._one, **values)
        registry.save(self._one)


def start(request: Request, timeout_s: float) -> Told:
    """Start the process that serves the request; what it told. Raises CaptureError when it tells nothing in time."""
    heard, told = os.pipe()
    middle = os.fork()
    if middle == 0:
        os.close(heard)
        _stay(request, told)
    os.close(told)
    os.waitpid(middle, 0)
    import select

    data = b""
    deadline = time.monotonic() + timeout_s
    with os.fdopen(heard, "rb", buffering=0) as pipe:
        while select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
            part = pipe.read(65536)
            if not part:
                break
            data += part
    if not data:
        log = registry.log_path(request.name)
        raise CaptureError(f"the enrolment was not in force within {timeout_s:g} s; see {log}")
    answer: Told = json.loads(data)
    return answer


def _stay(request: Request, told: int) -> None:
    """In the middle process: fork the one that stays, and end. Neither returns."""
    try:
        os.setsid()
        if os.fork() == 0:
            _be_the_one(request, told)
    finally:
        os._exit(0)


def _be_the_one(request: Request, told: int) -> None:
    processes.set_name("tidegate-enrol")
    os.chdir("/")
    processes.keep_only_descriptors(told)
    registry.FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = os.open(registry.log_path(request.name), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o600)
    os.dup2(log, 2)
    os.close(log)
    is_told = False

    def tell(answer: Told) -> None:
        nonlocal is_told
        os.write(told, json.dumps(answer).encode())
        os.close(told)
        is_told = True

    try:
        serve(request, tell)
    except BaseException as failed:
        say(f"{type(failed).__name__}: {failed}")
        if not is_told:
            code = getattr(failed, "exit_code", None)
            tell({"error": str(failed) or repr(failed), "exit_code": code if isinstance(code, int) else 1})


def _undo_of(name: str) -> None:
    """What the guardian does. It reads what was written down last."""
    one = registry.find(name)
    if one is not None:
        cgroups.join(cgroups.mount_point())  # what is in the enrolment's own folder is ended
        undo(one, wait_s=5.0)


def _moved(one: Enrolment) -> moving.Moved | None:
    """None: nothing was moved."""
    if "" not in one.homes:
        return None
    homes = {int(pid): Path(where) for pid, where in one.homes.items() if pid}
    return moving.Moved(cgroups.folder_of(one.cgroup), Path(one.homes[""]), homes)


def _own_folder(name: str) -> Path:
    return cgroups.mount_point() / PARENT / name


def _leave(own: Path) -> None:
    """Out of the folder that is to be removed: into the top, where processes may always be."""
    cgroups.join(cgroups.mount_point())
    _remove(own)


def _remove(own: Path) -> None:
    scope.remove(own)
    with contextlib.suppress(OSError):  # another enrolment's folder is in it
        own.parent.rmdir()


def say(text: str) -> None:
    print(f"tidegate: {text}", file=sys.stderr, flush=True)
