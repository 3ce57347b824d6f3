"""`tidegate inject` and `uninject`: the proxy into manifests and compose files, and out of them again."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from tidegate.commands.options import intent_options, raw_flags

if TYPE_CHECKING:
    from onboard.changed import Changed
    from onboard.text.nodes import Source


_SIDECAR_HELP = "native: an init container that stays (Kubernetes 1.29 and newer); container: an ordinary one  [native]"


def _files(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--diff", is_flag=True, help="show what would change, as a unified diff; write nothing")(
        command
    )
    command = click.option("-o", "--output", metavar="FILE", help="where the result goes  [standard output]")(command)
    return click.option("-f", "--file", required=True, metavar="FILE|-", help="what to change; -: standard input")(
        command
    )


@click.command("inject")
@_files
@click.option("--image", metavar="IMAGE", help="the image of init and proxy  [tidegate:VERSION]")
@click.option("--sidecar", metavar="HOW", default="native", help=_SIDECAR_HELP)
@click.option("--helper", is_flag=True, help="Kubernetes: init stays as the proxy's helper: docs/kubernetes.md")
@click.option("--config-map", metavar="NAME", help="a ConfigMap with the proxy's configuration documents")
@click.option("--config-folder", metavar="PATH", help="compose: a folder with the proxy's configuration documents")
@intent_options
def inject(file: str, output: str | None, diff: bool, **given: Any) -> int:
    """Put the proxy into the pods of Kubernetes manifests, or beside the services of a compose file.

    Nothing else in the file changes: comments, order and layout stay, and `tidegate uninject` gives the file back byte
    for byte. Annotations (in compose files: labels) tidegate.dev/FLAG stand for the flags below, which win over them;
    Istio's and Linkerd's traffic annotations are understood. What was left alone is told on standard error.
    """
    from importlib.metadata import version

    flags = raw_flags(given)
    if "--cgroup" in flags:
        raise click.UsageError("--cgroup: a container is captured by its network namespace: leave the flag out")
    given["image"] = given["image"] or f"tidegate:{version('tidegate')}"
    return _change(file, output, diff, lambda source: _inject(source, flags, given))


def _inject(source: "Source", flags: dict[str, Any], options: dict[str, Any]) -> "Changed":
    from onboard.compose import inject as compose
    from onboard.compose import services
    from onboard.kubernetes import containers
    from onboard.kubernetes import inject as kubernetes

    image = containers.checked_image(options["image"])
    if compose.is_compose(source):
        _refuse_given("--helper", options["helper"] or None, "Kubernetes manifests")
        _refuse_given("--config-map", options["config_map"], "Kubernetes manifests; use --config-folder")
        wanted = services.Options(image, options["config_folder"])
        services.check_options(wanted)
        return compose.inject(source, flags, wanted)
    _refuse_given("--config-folder", options["config_folder"], "compose files; use --config-map")
    if options["sidecar"] not in tuple(containers.Sidecar):
        raise click.UsageError(f"--sidecar: {options['sidecar']!r} is not valid: allowed are native and container")
    pods = containers.Options(image, containers.Sidecar(options["sidecar"]), options["config_map"], options["helper"])
    containers.check_options(pods)
    return kubernetes.inject(source, flags, pods)


def _refuse_given(flag: str, value: str | bool | None, what_for: str) -> None:
    if value is not None:
        raise click.UsageError(f"{flag}: {value!r} is not valid here: it is for {what_for}")


@click.command("uninject")
@_files
def uninject(file: str, output: str | None, diff: bool) -> int:
    """Take out of manifests and compose files what `tidegate inject` put there."""
    from onboard.compose import inject as compose
    from onboard.kubernetes import inject as kubernetes

    return _change(
        file, output, diff, lambda source: (compose if compose.is_compose(source) else kubernetes).uninject(source)
    )


def _change(file: str, output: str | None, diff: bool, change: Callable[["Source"], "Changed"]) -> int:
    from onboard.text import files
    from onboard.text.problems import ManifestError

    try:
        source = files.read(file, sys.stdin.buffer)
        changed = change(source)
        if diff:
            sys.stdout.write(files.difference(source, changed.text))
        else:
            files.write(output, changed.text, sys.stdout.buffer)
    except ManifestError as error:
        click.echo(str(error), err=True)
        return error.exit_code
    for note in changed.notes:
        click.echo(note, err=True)
    if not changed.workloads:
        click.echo(f"{source.file}: nothing to change", err=True)
    return 0
