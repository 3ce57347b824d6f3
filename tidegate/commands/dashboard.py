"""`tidegate dashboard`: a page on loopback that shows what goes through proxies, and can change a few things."""

import secrets
from collections.abc import Iterator
from typing import Any

import click

from tidegate.admin import Admin
from tidegate.asking.options import whom_options_and_addresses
from tidegate.asking.whom import Whom, asked
from tidegate.errors import Failed, Forbidden, Refused, Unreachable


@click.command()
@click.option("--listen", metavar="IP:PORT", default="127.0.0.1:15080", help="a loopback address  [127.0.0.1:15080]")
@whom_options_and_addresses
@click.option("--write", is_flag=True, help="let the page change weights, faults and shedding, with the token shown")
def dashboard(*, listen: str, write: bool, **given: Any) -> int:
    """Serve a page with who talks to whom, routes, endpoints and live requests, until Ctrl-C.

    A process of its own asks the proxies at their admin addresses while a page is open, and never otherwise. The page
    is served in this network namespace, also where --netns or an enrolment has its proxy in another one.
    """
    from dashboard.guard import place
    from intercept.errors import BadInput
    from proxy.errors import MissingLibrary

    try:
        at = place(listen)
    except ValueError as allowed:
        raise BadInput("--listen", listen, str(allowed)) from None
    proxies = [_Proxy(one) for one in _whom(given)]
    try:
        from dashboard.serve import serve
    except ModuleNotFoundError as missing:
        if missing.name != "aiohttp":
            raise
        raise MissingLibrary("aiohttp", "serve the page", "tidegate[dashboard]") from None
    token = secrets.token_urlsafe(18) if write else None
    try:
        serve(proxies, at, token, lambda url: _ready(url, token))
    except OSError as error:
        raise Failed(f"--listen: cannot listen at {at}: {error.strerror or error}") from None
    return 0


def _whom(given: dict[str, Any]) -> list[Whom]:
    """Several admin addresses are told apart by themselves. Raises BadInput."""
    admin, netns = given["admin"], given["netns"]
    found = [one for each in admin or (None,) for one in asked({**given, "admin": each})]
    return found if len(admin) < 2 else [Whom(each, each, netns) for each in dict.fromkeys(admin)]


def _ready(url: str, token: str | None) -> None:
    click.echo(f"the page is at {url} until Ctrl-C")
    if token is not None:
        click.echo(f"changes need this token: {token}")


class _Proxy:
    """dashboard.proxies.Proxy, by the admin address. Each call enters the namespace for itself: a thread's own."""

    def __init__(self, whom: Whom) -> None:
        self._whom = whom
        self.name = whom.name
        self.admin = whom.admin
        self._admin = Admin(whom.admin)

    def get(self, path: str) -> Any:
        from dashboard.proxies import Gone
        from tidegate.netns import inside

        try:
            with inside(self._whom.netns):
                return self._admin.get(path)
        except (Unreachable, Refused, _capture_error()) as failed:
            raise Gone(str(failed)) from None

    def lines(self, path: str) -> Iterator[bytes]:
        from dashboard.proxies import Gone
        from tidegate.netns import inside

        try:
            with inside(self._whom.netns):
                yield from self._admin.lines(path)
        except (Unreachable, Refused, _capture_error()) as failed:
            raise Gone(str(failed)) from None

    def post(self, path: str, body: Any) -> str:
        from dashboard.proxies import Gone, NotTaken
        from tidegate.netns import inside

        try:
            with inside(self._whom.netns):
                return self._admin.post(path, body)
        except (Refused, Forbidden, Failed) as refused:
            raise NotTaken(str(refused)) from None
        except (Unreachable, _capture_error()) as failed:
            raise Gone(str(failed)) from None


def _capture_error() -> type[Exception]:
    """What entering a namespace raises; it is gone when its process is."""
    from intercept.errors import CaptureError

    return CaptureError
