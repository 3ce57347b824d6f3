"""`tidegate init`: put capture in force, then exit."""

from typing import TYPE_CHECKING, Any

import click

from tidegate import output
from tidegate.commands.options import (
    config_option,
    intent_of,
    intent_options,
    json_option,
    netns_option,
    one_of,
    raw_flags,
    seccomp_option,
    wait_option,
    with_documents,
)

if TYPE_CHECKING:
    from intercept.results import Applied


@click.command()
@intent_options
@config_option
@netns_option
@wait_option
@click.option("--dry-run", is_flag=True, help="print the exact plan, change nothing; needs no privilege")
@click.option("--from", "peer", metavar="TOOL", help="read TOOL's flags and environment: istio, linkerd, kuma, consul")
@click.option("--close-existing", is_flag=True, help="reset connections from before capture instead of leaving them be")
@click.option(
    "--helper",
    metavar="off|leave|stay",
    default="off",
    help="leave a process behind, or stay as one, that does for a proxy started without root what needs root  [off]",
)
@seccomp_option
@json_option
@click.argument("peer_argv", nargs=-1, type=click.UNPROCESSED, metavar="[-- TOOL'S FLAGS]")
def init(
    *,
    config: tuple[str, ...],
    netns: str | None,
    wait: str,
    dry_run: bool,
    peer: str | None,
    close_existing: bool,
    helper: str,
    seccomp: str,
    as_json: bool,
    peer_argv: tuple[str, ...],
    **given: Any,
) -> int:
    """Put capture in force in this network namespace, then exit (--helper stay: go on as the proxy's helper).

    Applying the same again changes nothing; applying something else replaces it in one step.
    """
    from intercept import capture
    from intercept.errors import BadInput
    from intercept.intent.from_flags import seconds

    if peer is not None:
        if config:
            raise BadInput("--config", "with --from", "one of them: both say what to capture")
        if close_existing:
            raise BadInput("--close-existing", "with --from", "a flag of `init` without --from")
        if helper != "off":
            raise BadInput("--helper", "with --from", "a flag of `init` without --from")
        from tidegate.commands.from_peer import init_from

        return init_from(peer, peer_argv, raw_flags(given), netns=netns, wait=wait, dry_run=dry_run, as_json=as_json)
    if peer_argv:
        raise BadInput("init", peer_argv[0], "flags only; another tool's flags stand after `--from TOOL --`")
    intent = intent_of(with_documents(config, raw_flags(given), capture_required=True))
    wanted = one_of("--helper", helper, ("off", "leave", "stay"))
    wait_s = seconds("--wait", wait)
    if netns is not None:
        from tidegate.netns import enter

        enter(netns)
    if dry_run:
        output.show_planned(capture.dry_run(intent), as_json)
        return 0
    filtered = seccomp == "on"
    _require_helper(wanted)
    applied = capture.apply(intent, wait_s=wait_s)
    output.warn(applied.warnings)
    from tidegate.beside import keeper

    output.warn(keeper.suit(applied.plan, wait_s=wait_s, filtered=filtered))
    output.warn(_suit_helper(applied, wanted, wait_s, filtered=filtered))
    _show(applied, as_json, close_existing=close_existing)
    if wanted == "stay":
        from tidegate.beside import helper as beside

        beside.stay(applied.plan, filtered=filtered)
    return 0


def _require_helper(wanted: str) -> None:
    """Raises CaptureError where there can't be such a helper, before anything is changed."""
    if wanted != "off":
        from tidegate.beside import helper

        helper.require(helper.Wanted(wanted))


def _suit_helper(applied: "Applied", wanted: str, wait_s: float, *, filtered: bool) -> tuple[str, ...]:
    from proxy.start.helper import NAME
    from tidegate.beside import left_behind

    if wanted == "off" and not left_behind.names(NAME):
        return ()
    from tidegate.beside import helper

    return helper.suit(applied.plan, helper.Wanted(wanted), wait_s=wait_s, filtered=filtered)


def _show(applied: "Applied", as_json: bool, *, close_existing: bool) -> None:
    if not close_existing:
        output.show_applied(applied, as_json)
        return
    from tidegate.commands import existing

    closed = existing.close_existing()
    output.show_applied(applied, as_json, closed=closed)
    if not as_json:
        click.echo(f"connections from before capture that were closed: {closed}")
