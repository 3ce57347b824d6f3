"""The order of one run: scope, guardian, proxy, capture, proof, command; and back."""

import contextlib
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from intercept import capture
from intercept.backends.kernel_lane import KernelLane
from intercept.host import cgroups
from intercept.intent.intent import Dns, Intent, Mode, WhenDown
from intercept.results import Bound
from tidegate import processes
from tidegate.supervise import command, guardian, proof, scope
from tidegate.supervise.proxy_process import ProxyFailed, ProxyProcess

if TYPE_CHECKING:
    from tidegate.beside.courier import Courier

# How long connections that the command left open may stay silent before they are taken as finished.
QUIET_MS = 500
FLUSH_S = 20.0
# A proxy that dies sooner than this after its start is not started for ever.
FLAPPING_S = 2.0
RESTARTS = 3
REFRESH_S = 0.3
COUNT_S = 1.0
FILLED_S = 10.0
"""The direct lane's first change is in the kernel by then, or the command starts without it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    exit_code: int
    mode: str
    duration_ms: float
    connections: list[dict[str, Any]]


class Supervisor:
    """Runs one command with its traffic captured. Use once: `run`."""

    def __init__(
        self,
        argv: list[str],
        intent: Intent,
        *,
        fixed_ports: tuple[int, int],
        wait_s: float,
        config: tuple[str, ...] = (),
    ) -> None:
        """`fixed_ports` are the listeners' ports that the user asked for; 0 lets the kernel choose. `config`: files
        and folders of configuration documents for the proxy."""
        self._argv = argv
        self._intent = intent
        self._ports = fixed_ports
        self._config = [os.path.abspath(path) for path in config]  # the proxy starts somewhere else
        self._dns_port = 0
        self._wait_s = wait_s
        self._records: list[dict[str, Any]] = []
        self._short_lives = 0
        self._courier: Courier | None = None
        self._counted = 0.0

    def run(self) -> Outcome:
        """Everything from nothing to nothing. Raises what `run`'s users see as exit code 125, 126 or 127.

        Whatever happens, nothing of the run is left in the kernel when this returns or raises.
        """
        heard = command.FORWARDED | {signal.SIGCHLD}
        own_mask = signal.pthread_sigmask(signal.SIG_BLOCK, heard)
        with ExitStack() as undo:
            undo.callback(signal.pthread_sigmask, signal.SIG_SETMASK, own_mask)
            self._signals = processes.signalfd(heard)
            undo.callback(os.close, self._signals)
            self._sweep()
            self._scope = scope.create()
            undo.callback(self._scope.remove)
            self._post_guardian()
            undo.callback(self._dismiss_guardian)
            self._proxy = self._start_proxy()
            undo.callback(self._close_proxy)
            bound = capture.bind(self._scoped_intent(), name=self._scope.name, wait_s=self._wait_s)
            undo.callback(bound.close)
            for warning in bound.warnings:
                say(warning)
            self._bound_direct = bound.direct
            self._begin_direct(bound.direct)
            proof.prove(bound.plan, self._proxy, self._scope.command)
            started = time.monotonic()
            child = command.start(self._argv, self._scope.command, own_mask)
            exit_code = self._attend(child, bound)
            duration_ms = (time.monotonic() - started) * 1000
            self._wind_up()
            return Outcome(exit_code, str(bound.mode), duration_ms, self._records)

    def _scoped_intent(self) -> Intent:
        outbound, inbound = self._proxy.outbound_port, self._proxy.inbound_port
        dns = self._proxy.dns_port or self._intent.listeners.dns
        listeners = self._intent.listeners._replace(outbound=outbound, inbound=inbound, dns=dns)
        return self._intent._replace(cgroup=cgroups.path_of(self._scope.command), listeners=listeners)

    def _sweep(self) -> None:
        """Remove what runs left behind whose supervisor and guardian were both killed."""
        for folder in scope.abandoned(cgroups.mount_point()):
            say(f"removing what a killed run left: {folder.name}")
            _undo(folder.name, scope.Scope(folder), self._wait_s)

    def _post_guardian(self) -> None:
        run, wait_s = self._scope, self._wait_s
        self._guardian = guardian.post(lambda: _undo(run.name, run, wait_s))

    # Both may have been replaced since they were started.
    def _dismiss_guardian(self) -> None:
        self._guardian.dismiss()

    def _close_proxy(self) -> None:
        self._proxy.close()

    def _start_proxy(self) -> ProxyProcess:
        outbound, inbound = self._ports
        dns = "off" if self._intent.dns is Dns.OFF else str(self._dns_port)
        arguments = ["--outbound-port", str(outbound), "--inbound-port", str(inbound), "--dns-port", dns]
        exempt = self._intent.exempt
        if exempt.uids:
            arguments += ["--proxy-uid", str(exempt.uids[0])]
        if exempt.gids:
            arguments += ["--proxy-gid", str(exempt.gids[0])]
        # See intercept.host.transparency: the listener must be transparent for TPROXY and must not be for REDIRECT.
        arguments += ["--inbound-original-dst", "auto" if self._intent.mode is Mode.TPROXY else "sockopt"]
        for path in self._config:
            arguments += ["--config", path]
        arguments += ["--admin", "off", "--telemetry", "off", "--log-level", "error"]
        proxy = ProxyProcess(self._scope.proxy, arguments)
        self._ports = (proxy.outbound_port, proxy.inbound_port)
        self._dns_port = proxy.dns_port or 0
        self._proxy_started = time.monotonic()
        return proxy

    def _attend(self, child: command.Command, bound: Bound) -> int:
        """Serve the command until it ends: pass signals on, take records in, replace helpers that were killed."""
        refreshing = self._intent.when_down is WhenDown.OPEN
        with selectors.DefaultSelector() as selector:
            watch(selector, self._signals, lambda: self._hear_signal(child))
            watch(selector, self._proxy, lambda: self._hear_proxy(selector))
            watch(selector, self._guardian.pidfd, lambda: self._replace_guardian(selector))
            selector.register(child.pidfd, selectors.EVENT_READ, None)
            while True:
                ready = selector.select(REFRESH_S if refreshing or self._courier is not None else None)
                if refreshing and self._proxy.fileno() >= 0:
                    bound.refresh()
                if time.monotonic() - self._counted >= COUNT_S:
                    self._tell_counted()
                for key, _ in ready:
                    if key.data is None:
                        return child.wait()
                    key.data()

    def _hear_signal(self, child: command.Command) -> None:
        received = processes.read_signal(self._signals)
        if received.number == signal.SIGCHLD:
            processes.reap_orphans({child.pid, self._proxy.pid})
        else:
            child.send(received)

    def _begin_direct(self, lane: KernelLane | None) -> None:
        """Have the kernel balance what it can, from the command's first connection on."""
        if lane is None or not self._config:
            return
        if self._courier is None:
            from tidegate.beside.courier import ALL_ENDED, Courier

            self._courier = Courier(lane, say, ALL_ENDED)  # the report has every connection
        self._proxy.request("direct-follow", available=True)
        self._deliver()
        news = self._proxy.news(time.monotonic() + FILLED_S)
        while not self._courier.filled and next(news, self) is not self:
            self._deliver()
        if not self._courier.filled:
            say(f"the direct lane was not filled within {FILLED_S:g} s: connections go by the proxy until it is")

    def _deliver(self) -> None:
        if self._courier is None:
            return
        while self._proxy.changes:
            answer = self._courier.deliver(self._proxy.changes.pop(0))
            if answer is not None:
                self._proxy.request(answer.pop("op"), **answer)

    def _tell_counted(self) -> None:
        self._counted = time.monotonic()
        if self._courier is not None and self._proxy.fileno() >= 0:
            with contextlib.suppress(ProxyFailed):  # `_hear_proxy` sees to it
                for request in self._courier.requests():
                    self._proxy.request(request.pop("op"), **request)

    def _hear_proxy(self, selector: selectors.BaseSelector) -> None:
        dead = self._proxy
        if dead.receive():
            self._deliver()
            return
        selector.unregister(dead)
        self._records += dead.records
        code = dead.close()
        lived = time.monotonic() - self._proxy_started
        self._short_lives = self._short_lives + 1 if lived < FLAPPING_S else 0
        if self._short_lives >= RESTARTS:
            say(f"the proxy ended again (exit code {code}) and is not started any more: new connections are refused")
            return
        try:
            self._proxy = self._start_proxy()
        except (ProxyFailed, OSError) as error:
            say(f"the proxy ended (exit code {code}) and cannot be started again: {error}")
            return
        say(f"the proxy ended (exit code {code}); its open connections were cut; another one serves now")
        watch(selector, self._proxy, lambda: self._hear_proxy(selector))
        with contextlib.suppress(ProxyFailed):
            self._begin_direct(self._bound_direct)

    def _replace_guardian(self, selector: selectors.BaseSelector) -> None:
        selector.unregister(self._guardian.pidfd)
        os.close(self._guardian.pidfd)
        self._post_guardian()
        watch(selector, self._guardian.pidfd, lambda: self._replace_guardian(selector))

    def _wind_up(self) -> None:
        """The command has ended: end what it left, let its last bytes out, gather the records."""
        self._scope.end_command()
        with contextlib.suppress(ProxyFailed, OSError):
            self._tell_counted()
            self._let_last_bytes_out()
            self._proxy.drain(0)
        self._records += self._proxy.records

    def _let_last_bytes_out(self) -> None:
        # As the kernel does for a process that exits with unsent data. Nobody is left to read answers, so a
        # connection on which nothing moves any more has nothing left to give.
        deadline = time.monotonic() + FLUSH_S
        while time.monotonic() < deadline:
            live = self._proxy.request("connections")
            if all(connection.get("idle_ms", connection["age_ms"]) >= QUIET_MS for connection in live):
                return
            time.sleep(0.02)


def _undo(name: str, run: scope.Scope, wait_s: float) -> None:
    """What the guardian does, in this order: no process of the run may outlive its capture."""
    scope.kill(run.root)
    try:
        capture.remove(name=name, wait_s=wait_s)
    finally:
        run.remove()


def watch(selector: selectors.BaseSelector, what: Any, serve: Callable[[], None]) -> None:
    selector.register(what, selectors.EVENT_READ, serve)


def say(text: str) -> None:
    print(f"tidegate: {text}", file=sys.stderr)
