"""`tidegate adopt`: give a third-party proxy's listeners to the capture in force."""

import click

from tidegate.commands.options import netns_option


@click.command()
@click.option("--pid", required=True, metavar="PID", help="the proxy's process")
@netns_option
def adopt(pid: str, netns: str | None) -> None:
    """Register the listeners of a third-party proxy, for as long as they live. Says so where there is nothing to do.

    Needed where the backend steers to sockets rather than to ports; tidegate's own proxy is known without it.
    """
    from intercept.adopt import adopt as register
    from tidegate.netns import enter

    enter(netns)
    for line in register(pid):
        click.echo(line)
