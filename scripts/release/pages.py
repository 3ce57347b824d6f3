"""Manual pages and shell completions, made of the click commands: they cannot say anything else than --help."""

import inspect
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import click

from scripts.release.suites import version
from tidegate.cli import COMMANDS, cli

PROGRAM = "tidegate"
EXIT_CODES = (
    ("0", "done"),
    ("1", "failed; whatever was begun is rolled back"),
    ("2", "a flag or document is wrong; nothing was changed"),
    ("3", "this kernel or host lacks something, which the message names"),
    ("4", "a privilege is missing, which the message names"),
)
SHELLS = ("bash", "zsh", "fish")


def manual(dated: int) -> dict[str, str]:
    """File name -> roff, a page for tidegate and one for each command. dated: seconds since 1970."""
    day = datetime.fromtimestamp(dated, UTC).strftime("%Y-%m-%d")
    return {f"{'-'.join(path)}.1": _page(path, command, day) for path, command in commands()}


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Each command with the words that call it, groups among them."""
    yield (PROGRAM,), cli
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli, info_name=PROGRAM), name)
        if command is None:
            raise LookupError(name)
        yield from _with_children((PROGRAM, name), command)


def _with_children(path: tuple[str, ...], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, child in sorted(command.commands.items()):
            yield from _with_children((*path, name), child)


def completion(shell: str) -> str:
    """The script that asks tidegate itself at each press of TAB."""
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    if made is None:
        raise LookupError(shell)
    script = made(cli, {}, PROGRAM, "_TIDEGATE_COMPLETE")
    # Not source(): it would start the shell that happens to be here, to look at its version.
    return (script.source_template % script.source_vars()).strip() + "\n"


def _page(path: tuple[str, ...], command: click.Command, day: str) -> str:
    context = click.Context(command, info_name=" ".join(path))
    description = _paragraphs(command.help or command.short_help or "")
    first = (description[0] if description else "").split(". ")[0].rstrip(".")
    lines = [
        f'.TH "{"-".join(path).upper()}" "1" "{day}" "{PROGRAM} {version()}" "tidegate manual"',
        ".SH NAME",
        f"{_escaped('-'.join(path))} \\- {_escaped(first[:1].lower() + first[1:])}",
        ".SH SYNOPSIS",
        f".B {_escaped(' '.join(path))}",
        _escaped(" ".join(command.collect_usage_pieces(context))),
        ".SH DESCRIPTION",
    ]
    for paragraph in description:
        lines += [".PP", _escaped(paragraph)]
    lines += _options(command, context)
    if len(path) == 1:
        lines.append(".SH COMMANDS")
        for name, (_, text) in COMMANDS.items():
            lines += [".TP", f".B {_escaped(name)}", _escaped(text)]
        lines.append(".SH EXIT STATUS")
        for code, text in EXIT_CODES:
            lines += [".TP", f".B {code}", _escaped(text)]
    lines += [".SH SEE ALSO", f".BR {_escaped(f'{PROGRAM}-init' if len(path) == 1 else PROGRAM)} (1)"]
    return "\n".join(lines) + "\n"


def _options(command: click.Command, context: click.Context) -> list[str]:
    records = [record for one in command.get_params(context) if (record := one.get_help_record(context)) is not None]
    lines = [".SH OPTIONS"] if records else []
    for names, text in records:
        lines += [".TP", f".B {_escaped(names)}", _escaped(" ".join(text.split())) or "(see above)"]
    return lines


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", inspect.cleandoc(text)) if part.strip("\b\n ")]


def _escaped(text: str) -> str:
    """A line of roff: no character has a meaning of its own."""
    safe = text.replace("\b", "").replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    safe = safe.replace("^", "\\(ha").replace("~", "\\(ti")
    return f"\\&{safe}" if safe.startswith(".") else safe
