"""`tidegate init --from TOOL -- …`: do what another tool's command line asks for."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from intercept.errors import BadInput, CaptureError
from intercept.peers import Action, Translated, read
from tidegate.commands.options import intent_of
from tidegate.output import show_applied, show_planned, warn

if TYPE_CHECKING:
    from intercept.intent.intent import Intent

OWN_FLAGS = ("--mode", "--when-down", "--cgroup")
_BEFORE_THE_DASHES = "--mode, --when-down, --cgroup, --netns, --wait, --dry-run and --json"
_LONGEST_FILE = 1024 * 1024


def init_from(
    tool: str,
    argv: Sequence[str],
    own: Mapping[str, Any],
    *,
    netns: str | None,
    wait: str,
    dry_run: bool,
    as_json: bool,
) -> int:
    """The exit code. `own`: our flags about the intent that stood beside --from; raises BadInput for most of them."""
    from intercept.intent.from_flags import seconds

    for flag, value in own.items():
        if flag not in OWN_FLAGS:
            allowed = f"left to {tool}'s own flags, after `--`; beside --from may stand {_BEFORE_THE_DASHES}"
            raise BadInput(flag, str(value), allowed)
    translated = read(tool, argv, os.environ, _file_text)
    intent, notes = _with_own(translated, own)
    wait_s = seconds("--wait", wait)
    if translated.wait_s is not None and not _given("wait"):
        wait_s = translated.wait_s
    if netns is not None and translated.netns not in (None, netns):
        notes = (*notes, f"--from {tool}: --netns {netns} is taken, not {tool}'s {translated.netns}")
    if netns is None:
        netns = translated.netns
    warn(notes)
    also: dict[str, object] = {"from": tool, "notes": list(notes)}
    if dry_run or translated.dry_run:
        return _dry_run(intent, translated.action, netns, as_json, also)
    match translated.action:
        case Action.CLEANUP:
            return _cleanup(netns, wait_s, as_json)
        case Action.CHECK:
            return _check(netns, as_json)
        case Action.APPLY | Action.APPLY_THEN_CHECK:
            _enter(netns)
            return _apply(intent, wait_s, as_json, also, checked=translated.action is Action.APPLY_THEN_CHECK)


def _with_own(translated: Translated, own: Mapping[str, Any]) -> tuple["Intent", tuple[str, ...]]:
    """Our own flags win over the tool's settings; a setting that loses is named."""
    ours = intent_of(dict(own))
    intent, notes = translated.intent, translated.notes
    if "--mode" in own:
        if intent.mode not in ("auto", ours.mode):
            notes = (*notes, f"--mode {ours.mode} is taken, not {intent.mode}, which the other tool's settings ask for")
        intent = intent._replace(mode=ours.mode)
    if "--when-down" in own:
        intent = intent._replace(when_down=ours.when_down)
    if "--cgroup" in own:
        intent = intent._replace(cgroup=ours.cgroup)
    return intent, notes


def _given(parameter: str) -> bool:
    return click.get_current_context().get_parameter_source(parameter) is not ParameterSource.DEFAULT


def _file_text(name: str) -> str:
    """The text of a configuration file of the other tool's; "-" is standard input."""
    from mesh.yaml import links

    try:
        raw = sys.stdin.buffer.read(_LONGEST_FILE + 1) if name == "-" else links.read(Path(name), _LONGEST_FILE + 1)
        if len(raw) > _LONGEST_FILE:
            raise BadInput("--config-file", name, f"a file of at most {_LONGEST_FILE} bytes")
        return raw.decode()
    except OSError as error:
        raise BadInput("--config-file", name, f"a file that can be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise BadInput("--config-file", name, "text in UTF-8") from None


def _enter(netns: str | None) -> None:
    if netns is not None:
        from tidegate.netns import enter

        enter(netns)


def _dry_run(intent: "Intent", action: Action, netns: str | None, as_json: bool, also: dict[str, object]) -> int:
    from intercept import capture

    if action is Action.CLEANUP:
        warn(("without the dry run, whatever tidegate put into this namespace would be removed; nothing is changed",))
    _enter(netns)
    show_planned(capture.dry_run(intent), as_json, action=str(action), **also)
    return 0


def _cleanup(netns: str | None, wait_s: float, as_json: bool) -> int:
    from tidegate.commands.cleanup import cleanup

    click.get_current_context().invoke(cleanup, netns=netns, wait=str(wait_s), as_json=as_json)
    return 0


def _check(netns: str | None, as_json: bool) -> int:
    from tidegate.commands.check import check

    code: int = click.get_current_context().invoke(check, netns=netns, stand_in=True, as_json=as_json)
    return code


def _apply(intent: "Intent", wait_s: float, as_json: bool, also: dict[str, object], *, checked: bool) -> int:
    from intercept import capture
    from tidegate.beside import keeper

    if not checked:
        applied = capture.apply(intent, wait_s=wait_s)
        warn(applied.warnings)
        warn(keeper.suit(applied.plan, wait_s=wait_s))
        show_applied(applied, as_json, **also)
        return 0
    from intercept.check.check import check
    from intercept.host.facts import read_host

    before = capture.plan_in_force(read_host())
    applied = capture.apply(intent, wait_s=wait_s)
    warn(applied.warnings)
    warn(keeper.suit(applied.plan, wait_s=wait_s))
    try:
        probes = check(stand_in=True)
        failed = [f"{probe.name}: {probe.detail}" for probe in probes if not probe.ok]
        if failed:
            raise CaptureError("capture was put in force and does not work: " + "; ".join(failed))
    except BaseException:
        if applied.changed:
            _restore(before.intent._replace(mode=before.mode) if before is not None else None, wait_s)
            warn(("capture is again as it was before",))
        raise
    shown = {"ok": True, "probes": [probe.as_dict() for probe in probes]}
    show_applied(applied, as_json, check=shown, **also)
    if not as_json:
        for probe in probes:
            click.echo(f"checked: {probe.name}: {probe.detail}")
    return 0


def _restore(before: "Intent | None", wait_s: float) -> None:
    from intercept import capture, runs
    from tidegate.beside import keeper

    if before is None:
        capture.remove(name=runs.PLAIN, wait_s=wait_s)
        keeper.dismiss()
    else:
        keeper.suit(capture.apply(before, wait_s=wait_s).plan, wait_s=wait_s)
