"""`tidegate run`: a command, its traffic captured, and a report."""

import os
from pathlib import Path
from typing import Any

import click

from tidegate.commands.options import (
    LANES,
    config_option,
    intent_of,
    intent_options,
    netns_option,
    one_of,
    raw_flags,
    seccomp_option,
    wait_option,
    with_documents,
)

OWN_FAILURE = 125
LOG_LEVELS = ("debug", "info", "warning", "error")


@click.command(context_settings={"allow_interspersed_args": False})
@intent_options
@config_option
@netns_option
@wait_option
@click.option("--report", "report_path", metavar="FILE", help="write what CMD talked to as JSON")
@click.option("--lane", default="auto", metavar="auto|direct|splice|parsed", help="of every destination  [auto]")
@click.option("--user", metavar="USER[:GROUP]", help="run CMD as this user  [the caller]")
@click.option("--follow", is_flag=True, help="wait for the processes that outlive CMD, instead of ending them")
@click.option("--drain-timeout", default="20", metavar="S", help="how long CMD's last bytes may take  [20]")
@click.option("--log-level", default="error", metavar="LEVEL", help="the proxy's: debug, info, warning, error  [error]")
@seccomp_option
@click.option("--admin", metavar="ADDR|off", help="the proxy's admin address  [any free port of 127.0.0.1]")
@click.option("--live", is_flag=True, help="show on standard error what CMD talks, while it does")
@click.option("--quiet", is_flag=True, help="no summary at the end")
@click.argument("argv", metavar="-- CMD [ARG...]", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    *,
    argv: tuple[str, ...],
    config: tuple[str, ...],
    netns: str | None,
    wait: str,
    report_path: str | None,
    lane: str,
    user: str | None,
    follow: bool,
    drain_timeout: str,
    log_level: str,
    seccomp: str,
    admin: str | None,
    live: bool,
    quiet: bool,
    **given: Any,
) -> int:
    """Start a proxy, capture the process tree of CMD and nothing else, run CMD, and leave nothing behind.

    Ends with CMD's own exit code (128+N when it died of signal N), 127 when there is no such command, 126 when it
    cannot be executed, 125 when tidegate failed before CMD started.
    """
    from intercept.errors import BadInput
    from intercept.intent.from_flags import seconds
    from tidegate.supervise.settings import ANY_PORT, RunSettings
    from tidegate.supervise.user import parse

    _judge(config)
    flags = with_documents(config, raw_flags(given), capture_required=False)
    intent = intent_of(flags)
    wait_s = seconds("--wait", wait)
    if "--cgroup" in flags:
        raise BadInput("--cgroup", flags["--cgroup"], "`run` makes a cgroup of its own; use `init` to capture a folder")
    report = _report_file(report_path)
    settings = RunSettings(
        argv=argv,
        intent=intent,
        fixed_ports=(int(flags.get("--outbound-port", 0)), int(flags.get("--inbound-port", 0))),
        wait_s=wait_s,
        config=tuple(os.path.abspath(path) for path in config),  # the proxy starts somewhere else
        lane=one_of("--lane", lane, LANES),
        log_level=one_of("--log-level", log_level, LOG_LEVELS),
        drain_timeout_s=seconds("--drain-timeout", drain_timeout),
        follow=follow,
        admin=ANY_PORT if admin is None else _admin_address(admin),
        filtered=seccomp == "on",
        live=live,
        user=None if user is None else parse(user),
    )
    try:
        from tidegate.netns import enter
        from tidegate.supervise import supervisor

        enter(netns)
        outcome = supervisor.run(settings)
    except BadInput:
        raise
    except Exception as failed:
        # `run` speaks with its command's voice: its own failures before the start have one code, whatever they are.
        if os.environ.get("TIDEGATE_TRACEBACK"):
            raise
        click.echo(f"tidegate: {failed}", err=True)
        return getattr(failed, "run_exit_code", OWN_FAILURE)
    _tell(list(argv), outcome, report, quiet=quiet)
    return outcome.exit_code


def _admin_address(text: str) -> str:
    """Judged before anything starts; the proxy would name its own flag."""
    from intercept.errors import BadInput
    from proxy.core.addresses import is_loopback, parse

    if text == "off":
        return text
    try:
        if is_loopback(parse(text).ip):
            return text
    except ValueError:
        pass
    raise BadInput("--admin", text, "a loopback address as IP:PORT or [IPV6]:PORT, or off")


def _judge(config: tuple[str, ...]) -> None:
    """Find out what is wrong with the configuration before anything starts; the proxy tells what has no effect."""
    if config:
        from mesh.sources.files import load

        load(config)


def _tell(argv: list[str], outcome: Any, report: Path | None, *, quiet: bool) -> None:
    from tidegate.supervise import report as reports
    from tidegate.supervise.hosts_file import read_hosts
    from tidegate.supervise.summary import summary

    document = reports.as_document(
        argv,
        outcome.exit_code,
        outcome.mode,
        outcome.connections,
        duration_ms=outcome.duration_ms,
        requests=outcome.requests,
        not_captured=outcome.not_captured,
        observed=outcome.observed,
        hosts=read_hosts(),
    )
    if report is not None:
        try:
            reports.write(report, document)
        except OSError as error:
            click.echo(f"tidegate: the report could not be written to {report}: {error.strerror}", err=True)
    if not quiet:
        click.echo(summary(document), err=True, nl=False)


def _report_file(text: str | None) -> Path | None:
    """Judge `--report` before anything starts: a command may run for days before it is needed."""
    from intercept.errors import BadInput

    if text is None:
        return None
    path = Path(text).absolute()
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK) or path.is_dir():
        raise BadInput("--report", text, "a file name in a folder that exists and can be written")
    return path
