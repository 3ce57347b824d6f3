"""`tidegate cleanup`: remove what tidegate put there."""

import click

from tidegate.commands.options import json_option, netns_option, wait_option


@click.command()
@netns_option
@wait_option
@json_option
def cleanup(netns: str | None, wait: str, as_json: bool) -> None:
    """Remove exactly what tidegate put into this network namespace, whichever backend and version put it there."""
    import json

    from intercept import capture
    from intercept.intent.from_flags import seconds
    from proxy.start.helper import NAME as HELPERS
    from tidegate.beside import keeper, left_behind
    from tidegate.netns import enter

    wait_s = seconds("--wait", wait)
    enter(netns)
    removed = capture.remove(wait_s=wait_s)
    keeper.dismiss()
    left_behind.dismiss(HELPERS)
    if as_json:
        click.echo(json.dumps({"removed": removed}))
    elif removed:
        click.echo("\n".join(f"removed: {what}" for what in removed))
    else:
        click.echo("nothing of tidegate's is in force here")
