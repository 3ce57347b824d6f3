"""The command line's root: finds the command, runs it, turns what went wrong into the contract's exit codes.

Commands are imported when they are used: `init` owes its users 150 ms, and half of that is Python and click already.
"""

import gc
import importlib
import sys
from typing import Any

import click

COMMANDS = {
    "init": ("tidegate.commands.init", "Put capture in force in this network namespace, then exit."),
    "cleanup": ("tidegate.commands.cleanup", "Remove exactly what tidegate put into this network namespace."),
    "status": ("tidegate.commands.status", "Tell what is in force, and whether it is still as it was put there."),
    "check": ("tidegate.commands.check", "Prove that the capture in force works, by probes through it."),
    "explain": ("tidegate.commands.explain", "Tell whether and why a connection is captured."),
    "adopt": ("tidegate.commands.adopt", "Register a third-party proxy's listeners with the capture in force."),
    "doctor": ("tidegate.commands.doctor", "Tell what this host offers, tried for real, and which mode to take."),
    "discover": ("tidegate.commands.discover", "Watch who calls whom here, to know what there is to capture."),
    "run": ("tidegate.commands.run", "Run a command with its traffic captured, and report what it talked to."),
    "proxy": ("tidegate.commands.proxy", "Run the sidecar in the foreground."),
    "tap": ("tidegate.commands.tap", "Show requests and connections of a running proxy as they end."),
    "why": ("tidegate.commands.why", "Explain what becomes of a connection or a request, and why."),
    "support": ("tidegate.commands.support", "Gather what those who help need to know into one archive."),
    "policy": ("tidegate.commands.changes", "Change what a policy says of a Service while the proxy runs."),
    "inject": ("tidegate.commands.inject", "Put the proxy into Kubernetes manifests or a compose file."),
    "uninject": ("tidegate.commands.inject", "Take out of manifests what `inject` put there."),
    "top": ("tidegate.commands.top", "Show rates, success and latency by service, route and endpoint, live."),
    "dashboard": ("tidegate.commands.dashboard", "Serve a page with who talks to whom, and what becomes of requests."),
    "route": ("tidegate.commands.changes", "Change a running proxy's routes."),
    "enroll": ("tidegate.commands.enroll", "Capture a service that runs, without restarting it."),
    "unenroll": ("tidegate.commands.enroll", "Let an enrolled service go again."),
    "ls": ("tidegate.commands.enroll", "Show the enrolments of this host."),
    "linger": ("tidegate.commands.linger", "Wait until the workload has no connection left, as a preStop hook."),
    "webhook": ("tidegate.commands.webhook", "Serve the admission webhook that puts the proxy into new pods."),
    "config": ("tidegate.commands.config", "Check configuration documents."),
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and one-line helps without importing any of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        # What is imported stays: looking through it for garbage, now and at the end, is a seventh of `init`'s time.
        gc.disable()
        module = importlib.import_module(COMMANDS[cmd_name][0])
        gc.freeze()
        gc.enable()
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            from proxy.core.near import meant

            ctx.fail(f"No such command {args[0]!r}{meant(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _print_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"tidegate {version('tidegate')}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version)
def cli() -> None:
    """tidegate takes the traffic of a program that knows nothing of it, and gives it what a service mesh gives."""


def main(argv: list[str] | None = None) -> None:
    """Entry point of the console script. Never returns."""
    code = _exit_code(argv)
    gc.freeze()
    sys.exit(code)


def _exit_code(argv: list[str] | None) -> int:
    try:
        result: Any = cli.main(args=argv, prog_name="tidegate", standalone_mode=False)
    except click.ClickException as refused:
        refused.show()
        return refused.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`tidegate status | head`): there is no reader left to tell.
        sys.stderr.close()
        return 1
    except Exception as failed:
        code = getattr(failed, "exit_code", None)
        if not isinstance(code, int):
            raise
        click.echo(f"tidegate: {failed}", err=True)
        return code
    return result if isinstance(result, int) else 0
