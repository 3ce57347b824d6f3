"""`tidegate why`: one explanation of a connection or a request, from the capture rule to the endpoint."""

import json
from collections.abc import Mapping
from typing import Any

import click

from tidegate.asking.options import one_of_them
from tidegate.asking.whom import Whom, asked
from tidegate.commands.options import json_option


@click.command()
@click.argument("destination", metavar="[DST:PORT]", required=False)
@click.option("--id", "number", metavar="N", help="a past request or a connection, by its id in `tap --json`")
@click.option("--src", metavar="IP", help="the client's address")
@click.option("--direction", metavar="outbound|inbound", help="[inbound for an address of this namespace]")
@click.option("--method", metavar="M", help="the request's method  [GET, where --path or --header is given]")
@click.option("--path", metavar="P", help="its path, with the query")
@click.option("--header", "headers", metavar="K:V", multiple=True, help="a header of it (repeatable)")
@click.option("--uid", metavar="N", default="0", help="the caller's user, for the capture rule  [0]")
@click.option("--gid", metavar="N", default="0", help="its group  [0]")
@one_of_them
@json_option
def why(
    *,
    destination: str | None,
    number: str | None,
    src: str | None,
    direction: str | None,
    method: str | None,
    path: str | None,
    headers: tuple[str, ...],
    uid: str,
    gid: str,
    as_json: bool,
    **given: Any,
) -> int:
    """Explain what becomes of a connection or a request: capture rule, lane, detection, route, policy, endpoints.

    Give DST:PORT for one that might be made at this moment, or --id for one that was.
    """
    from tidegate.admin import Admin
    from tidegate.netns import enter
    from tidegate.whylines import rows_of

    (whom,) = asked(given)
    if (destination is None) == (number is None):
        raise click.UsageError("give either DST:PORT or --id N")
    question = [("src", src), ("method", method), ("path", path), *(("header", one) for one in headers)]
    asked_of = [(key, value) for key, value in question if value is not None]
    if number is not None:
        if asked_of or direction is not None:
            raise click.UsageError("--id stands alone: what is asked about is known")
        enter(whom.netns)
        told: dict[str, Any] = Admin(whom.admin).get_all("/why", [("id", number)])
    else:
        enter(whom.netns)
        told = _of_now(whom, destination or "", direction, {"--src": src, "--uid": uid, "--gid": gid}, asked_of)
    if as_json:
        click.echo(json.dumps(told))
        return 0
    from tidegate.rows import show

    show(rows_of(told))
    return 0


def _of_now(
    whom: Whom,
    destination: str,
    direction: str | None,
    caller: Mapping[str, str | None],
    asked_of: list[tuple[str, str]],
) -> dict[str, Any]:
    """Capture and, where a proxy answers, what it makes of the connection. What one of the two can't tell is said in
    its place; where neither can, the proxy's failure is raised."""
    from intercept.errors import BadInput, CaptureError
    from tidegate.admin import Admin
    from tidegate.errors import Unreachable

    if direction not in (None, "outbound", "inbound"):
        raise BadInput("--direction", direction or "", "outbound or inbound")
    direction = direction or _presumed(destination, caller["--src"])
    capture: dict[str, Any]
    try:
        capture = _capture(whom, destination, direction, caller)
    except BadInput:
        raise
    except CaptureError as unknown:
        capture = {"decision": None, "rule": None, "reason": f"not known here: {unknown}"}
    query = [("dst", destination), ("direction", direction), *asked_of]
    try:
        found: dict[str, Any] | None = Admin(whom.admin).get_all("/why", query)
        unanswered = None
    except Unreachable as unreachable:
        if capture["decision"] is None:
            raise
        found, unanswered = None, str(unreachable)
    return {"capture": capture, "proxy": found, "proxy_unreachable": unanswered}


def _presumed(destination: str, src: str | None) -> str:
    """Inbound for an address of this namespace, unless the client has one, too: then the workload calls itself."""
    from intercept.host.facts import read_host
    from intercept.intent import parsing

    address, _ = parsing.endpoint("DST:PORT", destination)
    own = [network for network in read_host().own if not network.is_loopback]
    if not any(network.version == address.version and address in network for network in own):
        return "outbound"
    if src is not None:
        client = parsing.address("--src", src)
        if client.is_loopback or any(network.version == client.version and client in network for network in own):
            return "outbound"
    return "inbound"


def _capture(whom: Whom, destination: str, direction: str, caller: Mapping[str, str | None]) -> dict[str, Any]:
    from intercept.explain_here import explain_here
    from intercept.plan.explain import connection_from_flags
    from intercept.plan.stored import read_document

    flags = {"--dst": destination, **caller}
    connection = connection_from_flags(direction, flags)
    if whom.document is None:
        return explain_here(connection, None).as_dict()
    stored = read_document(whom.document)
    return explain_here(connection, stored.intent._replace(mode=stored.mode)).as_dict()
