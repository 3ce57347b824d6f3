"""`tidegate enroll`, `unenroll` and `ls`: services that run, captured and let go again without a restart."""

import json
import os
import time
from typing import Any

import click

from tidegate.asking.values import enrolments
from tidegate.commands.options import (
    LANES,
    config_option,
    intent_of,
    intent_options,
    json_option,
    one_of,
    raw_flags,
    wait_option,
    with_documents,
)

READY_S = 30.0
ENDED_S = 5.0

_PID = click.option("--pid", metavar="N", help="the process N and its children")
_UNIT = click.option("--unit", metavar="NAME", help="the processes of a systemd unit, also after its restarts")


@click.command()
@_PID
@_UNIT
@intent_options
@config_option
@click.option("--name", metavar="NAME", help="of the enrolment  [made from the selector]")
@click.option("--lane", default="auto", metavar="auto|direct|splice|parsed", help="of every destination  [auto]")
@click.option("--drain-timeout", default="20", metavar="S", help="how long open ones go on after `unenroll`  [20]")
@wait_option
@json_option
def enroll(
    *,
    pid: str | None,
    unit: str | None,
    config: tuple[str, ...],
    name: str | None,
    lane: str,
    drain_timeout: str,
    wait: str,
    as_json: bool,
    **given: Any,
) -> int:
    """Capture a service that runs, without restarting it: give one of --pid, --unit and --cgroup.

    New connections only: open ones are not touched. A proxy of its own serves the service until `unenroll`.
    """
    from intercept.errors import BadInput, PrivilegeMissing
    from intercept.intent.from_flags import seconds
    from mesh.sources.files import load
    from onboard.enroll import registry, selector
    from tidegate.supervise import enrolled
    from tidegate.supervise.settings import RunSettings

    flags = raw_flags(given)
    chosen = selector.chosen(pid=pid, unit=unit, cgroup=flags.pop("--cgroup", None))
    if config:
        load(config)
    flags = with_documents(config, flags, capture_required=False)
    flags.pop("--cgroup", None)
    intent = intent_of(flags)
    settings = RunSettings(
        argv=(),
        intent=intent,
        fixed_ports=(int(flags.get("--outbound-port", 0)), int(flags.get("--inbound-port", 0))),
        wait_s=seconds("--wait", wait),
        config=tuple(os.path.abspath(path) for path in config),
        lane=one_of("--lane", lane, LANES),
        drain_timeout_s=seconds("--drain-timeout", drain_timeout),
        admin="127.0.0.1:0",
    )
    if os.geteuid() != 0:
        raise PrivilegeMissing("CAP_SYS_ADMIN", "capture another process; start `enroll` as root")
    target = selector.resolve(chosen)
    chosen_name = registry.judged(name or chosen.name)
    _undo_dead()
    for one in registry.every():
        if one.name == chosen_name or one.selector == f"{chosen.kind} {chosen.text}":
            allowed = f"a service that is not enrolled yet; {one.name} is ({one.selector})"
            raise BadInput(chosen.flag, chosen.text, allowed)
    told = enrolled.start(enrolled.Request(chosen_name, chosen, target, settings), READY_S)
    if "error" in told:
        click.echo(f"tidegate: {told['error']}", err=True)
        return int(told["exit_code"])
    _show_enrolled(told, as_json)
    return 0


@click.command()
@_PID
@_UNIT
@click.option("--cgroup", metavar="PATH", help="the processes of a cgroup v2 folder")
@click.option(
    "--name", "--enrolment", "name", metavar="NAME", help="an enrolment by its name", shell_complete=enrolments
)
@click.option("--all", "everything", is_flag=True, help="every enrolment")
@wait_option
@json_option
def unenroll(
    *,
    pid: str | None,
    unit: str | None,
    cgroup: str | None,
    name: str | None,
    everything: bool,
    wait: str,
    as_json: bool,
) -> int:
    """Let a service go again: its new connections go direct when this returns, and open ones are finished."""
    from intercept.errors import BadInput
    from intercept.intent.from_flags import seconds
    from onboard.enroll import registry, selector
    from proxy.core.near import meant

    wait_s = seconds("--wait", wait)
    if everything or name is not None:
        if (pid, unit, cgroup) != (None, None, None) or (everything and name is not None):
            raise BadInput("unenroll", "several", "one of --pid, --unit, --cgroup, --name and --all")
        found = [one for one in registry.every() if everything or one.name == name]
        if name is not None and not found:
            near = meant(name, [one.name for one in registry.every()])
            raise BadInput("--name", name, f"an enrolment that `tidegate ls` shows{near}")
    else:
        chosen = selector.chosen(pid=pid, unit=unit, cgroup=cgroup)
        found = [one for one in registry.every() if one.selector == f"{chosen.kind} {chosen.text}"]
        if not found:
            raise BadInput(chosen.flag, chosen.text, "a service that is enrolled; `tidegate ls` shows them")
    failed = [one.name for one in found if not _end(one, wait_s)]
    if as_json:
        click.echo(json.dumps({"unenrolled": [one.name for one in found if one.name not in failed], "failed": failed}))
    else:
        for one in found:
            if one.name not in failed:
                click.echo(f"{one.name} is not captured any more ({one.selector})")
    for which in failed:
        click.echo(f"tidegate: {which}: its process does not end; see {registry.log_path(which)}", err=True)
    return 1 if failed else 0


@click.command()
@json_option
def ls(as_json: bool) -> int:
    """Show the enrolments of this host."""
    from onboard.enroll import registry

    found = registry.every()
    if as_json:
        click.echo(json.dumps([one.as_dict() for one in found]))
        return 0
    if not found:
        click.echo("nothing is enrolled on this host")
    for one in found:
        row = one.as_dict()
        click.echo(
            f"{one.name}: {row['state']}, {one.selector}, mode {one.mode or '-'}, admin {one.admin or '-'}, "
            f"outbound {one.outbound_port}, inbound {one.inbound_port}"
        )
        for sentence in one.not_captured:
            click.echo(f"  not captured: {sentence}")
    return 0


def _show_enrolled(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(told))
        return
    click.echo(f"enrolled as {told['name']} ({told['selector']}): new connections are captured, mode {told['mode']}")
    click.echo(f"admin {told['admin']}, outbound {told['outbound_port']}, inbound {told['inbound_port']}")
    for sentence in told["not_captured"]:
        click.echo(f"not captured: {sentence}")


def _end(one: Any, wait_s: float) -> bool:
    """Returns when its new connections go direct. False: they do not within ENDED_S."""
    import contextlib
    import signal

    from onboard.enroll import registry

    if not one.lives:
        _undo(one, wait_s)
        return True
    with contextlib.suppress(ProcessLookupError):
        os.kill(one.pid, signal.SIGTERM)
    deadline = time.monotonic() + ENDED_S
    while time.monotonic() < deadline:
        now = registry.find(one.name)
        if now is None or now.pid != one.pid or now.state == "draining":
            return True
        if not now.lives:
            _undo(now, wait_s)
            return True
        time.sleep(0.01)
    return False


def _undo_dead() -> None:
    """Of enrolments whose process and guardian were both killed."""
    from onboard.enroll import registry

    for one in registry.every():
        if not one.lives:
            click.echo(f"tidegate: undoing what a killed enrolment left: {one.name}", err=True)
            _undo(one, 5.0)


def _undo(one: Any, wait_s: float) -> None:
    """In a process of its own, which enters the network namespace that the workload is in."""
    from intercept.errors import CaptureError
    from intercept.host import cgroups
    from tidegate.netns import enter
    from tidegate.supervise import enrolled

    workload = cgroups.processes_in(cgroups.folder_of(one.cgroup))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            enter(f"/proc/{workload[0]}/ns/net" if workload else None)
            enrolled.undo(one, wait_s)
            code = 0
        except CaptureError as failed:
            click.echo(f"tidegate: {one.name}: {failed}", err=True)
        finally:
            os._exit(code)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
        raise CaptureError(f"what is left of the enrolment {one.name} could not be undone")
