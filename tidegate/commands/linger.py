"""`tidegate linger`: what a sidecar's preStop hook waits for, where the cluster does not end it last by itself."""

import time

import click

_POLL_S = 0.1
_FREE = ("06", "07", "0C")
"""TIME_WAIT, CLOSE and NEW_SYN_RECV: no program holds such a socket."""


@click.command("linger")
@click.option("--proxy-uid", default="1337", show_default=True, metavar="UID", help="whose own sockets do not count")
@click.option("--timeout", default="25", show_default=True, metavar="S", help="wait no longer than this")
@click.option("--json", "as_json", is_flag=True, help="machine-readable result on stdout")
def linger(proxy_uid: str, timeout: str, as_json: bool) -> int:
    """Wait until the workload in this network namespace has no TCP socket any more.

    For a preStop hook of the sidecar's container: the proxy goes on serving the workload while that ends, and is told
    to drain afterwards. Ends with 0 when nothing is left, and with 1 when the time is over. Needs no privilege.
    """
    if not (proxy_uid.isascii() and proxy_uid.isdigit()):
        raise click.UsageError(f"--proxy-uid: {proxy_uid!r} is not valid: allowed is a numeric id")
    try:
        limit = float(timeout)
    except ValueError:
        limit = -1.0
    if not 0 <= limit <= 3600:
        raise click.UsageError(f"--timeout: {timeout!r} is not valid: allowed is a number of seconds, 0 to 3600")
    began = time.monotonic()
    while (left := sockets(int(proxy_uid))) and time.monotonic() - began < limit:
        time.sleep(_POLL_S)
    if as_json:
        import json

        click.echo(json.dumps({"idle": left == 0, "sockets": left, "waited_s": round(time.monotonic() - began, 3)}))
    elif left:
        click.echo(f"{left} sockets of the workload are still open after {limit:g} s", err=True)
    return 1 if left else 0


def sockets(proxy_uid: int) -> int:
    """TCP sockets in this network namespace that belong to a program other than the proxy."""
    found = 0
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, encoding="ascii") as file:
                rows = [line.split() for line in file][1:]
        except FileNotFoundError:
            continue  # a kernel without IPv6
        found += sum(1 for row in rows if row[3] not in _FREE and row[9] != "0" and int(row[7]) != proxy_uid)
    return found
