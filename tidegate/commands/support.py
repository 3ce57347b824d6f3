"""`tidegate support`: one archive of how things are here, to be sent to those who help."""

import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import click

from tidegate.asking.options import whom_options


@click.command()
@click.option("-o", "--output", metavar="FILE", help="the archive; `-`: standard output  [tidegate-support-….tar.gz]")
@click.option("--config", multiple=True, metavar="FILE|DIR", help="configuration documents to judge (repeatable)")
@click.option("--wait", metavar="S", default="30", help="seconds that doctor's trying may take; 0: leave it out  [30]")
@whom_options
def support(*, output: str | None, config: tuple[str, ...], wait: str, **given: Any) -> int:
    """Gather status, doctor, configuration, metrics, clusters, listeners and logs into one tar.gz.

    Header values, credentials and queries are taken out, and no payload is kept. What can't be had (no proxy runs, a
    privilege is missing) is named, and the rest is gathered. Without --admin, --enrolment or --run every proxy of this
    host is asked.
    """
    from intercept.errors import BadInput
    from intercept.intent.from_flags import seconds
    from tidegate.asking.whom import asked
    from tidegate.netns import enter
    from tidegate.support import archive, pieces

    doctor_s = seconds("--wait", wait) if wait != "0" else 0.0
    if not any(given.get(name) for name in ("admin", "netns", "enrolment", "run_name")):
        given["everything"] = True
    netns = given["netns"]
    whom = asked(given)
    moment = time.time()
    name = f"tidegate-support-{socket.gethostname()}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(moment))}"
    path = Path(output if output is not None else f"{name}.tar.gz").absolute()
    if output != "-" and (not path.parent.is_dir() or not os.access(path.parent, os.W_OK) or path.is_dir()):
        raise BadInput("--output", str(output), "a file name in a folder that exists and can be written")
    enter(netns)
    wanted = [
        *pieces.of_host(doctor_s=doctor_s, config=config),
        *(one for each in whom for one in pieces.of_proxy(each)),
    ]
    data, packed = archive.pack(wanted, name, moment)
    if output == "-":
        sys.stdout.buffer.write(data)
    else:
        try:
            archive.write(path, data)
        except OSError as failed:
            click.echo(f"tidegate: {path} could not be written: {failed.strerror}", err=True)
            return 1
        click.echo(f"{path}: {len(packed.kept)} pieces; look through it before you send it")
    for folder, why in _grouped(packed.missing):
        click.echo(f"missing: {folder}: {why}", err=True)
    return 0


def _grouped(missing: dict[str, str]) -> list[tuple[str, str]]:
    """A proxy of which nothing can be had is told in one line."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, why in missing.items():
        found.setdefault((name.rpartition("/")[0], why), []).append(name)
    return [(names[0] if len(names) == 1 else f"{folder}/*", why) for (folder, why), names in found.items()]
