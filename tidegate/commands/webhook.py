"""`tidegate webhook`: the mutating admission webhook in the foreground."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tidegate.commands.options import intent_options, raw_flags

if TYPE_CHECKING:
    from onboard.webhook.cluster import Api, Names
    from onboard.webhook.review import Settings

RENEW_S = 3600.0


@click.command("webhook")
@click.option("--listen", default="0.0.0.0:8443", show_default=True, metavar="ADDR:PORT", help="where to serve HTTPS")
@click.option("--certificate", metavar="FILE", help="chain in PEM; read again when it changes (with --key)")
@click.option("--key", metavar="FILE", help="its private key in PEM")
@click.option("--secret", metavar="NAME", help="instead: make certificates, keep them in this Secret and renew them")
@click.option("--service", metavar="NAME", default="tidegate-webhook", help="the webhook's Service  [tidegate-webhook]")
@click.option("--configuration", metavar="NAME", default="tidegate", help="MutatingWebhookConfiguration  [tidegate]")
@click.option("--folder", metavar="DIR", default="/run/tidegate", help="where --secret's files go  [/run/tidegate]")
@click.option(
    "--on-error", metavar="HOW", default="deny", help="deny or allow a pod whose annotations are wrong  [deny]"
)
@click.option("--image", metavar="IMAGE", help="the image of init and proxy  [tidegate:VERSION]")
@click.option("--sidecar", metavar="HOW", default="native", help="native or container, as of `inject`  [native]")
@click.option("--config-map", metavar="NAME", help="a ConfigMap with the proxy's configuration documents")
@intent_options
def webhook(listen: str, **given: Any) -> int:
    """Serve the admission webhook: new pods get what `tidegate inject` would put into their manifest.

    Which pods are asked about is said by the MutatingWebhookConfiguration (deploy/kubernetes/webhook). A pod that was
    injected before is left as it is. Needs no privilege. SIGTERM ends it when open requests are answered.
    """
    flags = raw_flags(given)
    address = _address(listen)
    settings = _settings(flags, given)
    if given["secret"] is not None:
        from onboard.webhook import cluster

        names = cluster.Names(given["secret"], given["service"], given["configuration"])
        api = cluster.Api.in_cluster()
        files = _folder_files(given["folder"])
        _renew(api, names, files)
        return asyncio.run(_run(address, files, settings, (api, names)))
    if given["certificate"] is None or given["key"] is None:
        raise click.UsageError("--certificate and --key, or --secret: the API server speaks to HTTPS only")
    files = (Path(given["certificate"]), Path(given["key"]))
    for flag, file in zip(("--certificate", "--key"), files, strict=True):
        if not file.is_file():
            raise click.UsageError(f"{flag}: {str(file)!r} is not valid: no such file")
    return asyncio.run(_run(address, files, settings, None))


def _settings(flags: dict[str, Any], given: dict[str, Any]) -> "Settings":
    """Judges every flag before anything is begun. Raises UsageError, BadInput."""
    from importlib.metadata import version

    from intercept.intent.from_flags import intent_from_flags
    from onboard.arguments import check
    from onboard.kubernetes import containers
    from onboard.webhook.review import OnError, Settings

    if "--cgroup" in flags:
        raise click.UsageError("--cgroup: a container is captured by its network namespace: leave the flag out")
    if given["sidecar"] not in tuple(containers.Sidecar):
        raise click.UsageError(f"--sidecar: {given['sidecar']!r} is not valid: allowed are native and container")
    if given["on_error"] not in tuple(OnError):
        raise click.UsageError(f"--on-error: {given['on_error']!r} is not valid: allowed are deny and allow")
    image = containers.checked_image(given["image"] or f"tidegate:{version('tidegate')}")
    options = containers.Options(image, containers.Sidecar(given["sidecar"]), given["config_map"])
    containers.check_options(options)
    check(intent_from_flags(flags))
    return Settings(options, flags, OnError(given["on_error"]))


def _address(text: str) -> tuple[str, int]:
    from proxy.core.addresses import parse

    try:
        found = parse(text)
    except ValueError as wrong:
        raise click.UsageError(f"--listen: {text!r} is not valid: allowed is ADDR:PORT ({wrong})") from None
    return str(found.ip), found.port


def _folder_files(folder: str) -> tuple[Path, Path]:
    place = Path(folder)
    if not place.is_dir():
        raise click.UsageError(f"--folder: {folder!r} is not valid: no such folder")
    return place / "tls.crt", place / "tls.key"


def _renew(api: "Api", names: "Names", files: tuple[Path, Path]) -> None:
    """Raises ClusterError."""
    from datetime import UTC, datetime

    from onboard.webhook.cluster import keep

    kept = keep(api, names, lambda: datetime.now(UTC))
    for file, content in ((files[1], kept.serving_key), (files[0], kept.serving)):
        if file.exists() and file.read_bytes() == content:
            continue
        partial = file.with_suffix(".partial")
        partial.touch(mode=0o600)
        partial.write_bytes(content)
        partial.replace(file)


async def _run(
    address: tuple[str, int], files: tuple[Path, Path], settings: "Settings", renewal: "tuple[Api, Names] | None"
) -> int:
    from onboard.webhook.serve import serve

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    renewing = None if renewal is None else loop.create_task(_keep_renewing(*renewal, files))
    try:
        await serve(address, files, settings, stopped, lambda port: click.echo(f"serving on {address[0]}:{port}"))
    except OSError as failed:
        click.echo(f"tidegate: --listen {address[0]}:{address[1]}: {failed}", err=True)
        return 1
    finally:
        if renewing is not None:
            renewing.cancel()
    return 0


async def _keep_renewing(api: "Api", names: "Names", files: tuple[Path, Path]) -> None:
    from onboard.webhook.cluster import ClusterError

    while True:
        await asyncio.sleep(RENEW_S)
        try:
            await asyncio.to_thread(_renew, api, names, files)
        except (ClusterError, OSError) as failed:
            # What is served is valid for weeks yet; the next hour tries again.
            print(f"tidegate: the webhook's certificates were not renewed: {failed}", file=sys.stderr, flush=True)
