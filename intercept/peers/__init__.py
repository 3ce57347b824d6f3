"""Other tools' settings -> Intent. One module a tool, loaded when it is asked for."""

from collections.abc import Callable, Mapping, Sequence

from intercept.errors import BadInput
from intercept.peers.translated import Action, Translated

__all__ = ["TOOLS", "Action", "Translated", "read"]

TOOLS = ("istio", "linkerd", "kuma", "consul")


def _no_files(name: str) -> str:
    raise BadInput("--config-file", name, "nothing: files are not read here")


def read(
    tool: str, argv: Sequence[str], environ: Mapping[str, str], file_text: Callable[[str], str] = _no_files
) -> Translated:
    """What `tool` (one of TOOLS) would do when started with these arguments in this environment. Pure.

    `file_text` gives the text of a file by name ("-": standard input), for Kuma's configuration; it may raise BadInput.
    Raises BadInput for what the tool's own command line doesn't allow, Unsupported for what can't be expressed here.
    """
    match tool:
        case "istio":
            from intercept.peers import istio

            return istio.read(argv, environ)
        case "linkerd":
            from intercept.peers import linkerd

            return linkerd.read(argv, environ)
        case "kuma":
            from intercept.peers import kuma

            return kuma.read(argv, environ, file_text)
        case "consul":
            from intercept.peers import consul

            return consul.read(argv, environ)
        case _:
            raise BadInput("--from", tool, "one of " + ", ".join(TOOLS))
