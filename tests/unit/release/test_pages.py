"""Manual pages and completions say what --help says."""

import subprocess
import sys

import click
import pytest

from scripts.release import pages
from tidegate.cli import COMMANDS

PAGES = pages.manual(1_700_000_000)


def test_each_command_has_a_page() -> None:
    assert {"tidegate.1", *(f"tidegate-{name}.1" for name in COMMANDS)} <= set(PAGES)
    assert "tidegate-config-check.1" in PAGES


@pytest.mark.parametrize(("path", "command"), list(pages.commands()), ids=lambda one: str(one)[:40])
def test_a_page_has_each_option_of_its_command(path: tuple[str, ...], command: click.Command) -> None:
    page = PAGES["-".join(path) + ".1"]
    assert '"2023-11-14"' in page
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            for name in option.opts:
                assert f"{name}".replace("-", "\\-") in page


def test_no_text_of_a_page_is_taken_for_a_request() -> None:
    known = {".TH", ".SH", ".PP", ".TP", ".B", ".BR"}
    for page in PAGES.values():
        assert {line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))} <= known


@pytest.mark.parametrize("shell", pages.SHELLS)
def test_completion_asks_tidegate(shell: str) -> None:
    script = pages.completion(shell)
    assert "_TIDEGATE_COMPLETE" in script
    assert f"{shell}_complete" in script


def test_bash_completes_commands_and_options() -> None:
    def complete(words: str, at: int) -> list[str]:
        asked = {"_TIDEGATE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
        code = "from tidegate.cli import main; main()"
        done = subprocess.run([sys.executable, "-c", code], env=asked, capture_output=True, text=True, check=False)
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert complete("tidegate unin", 1) == ["uninject"]
    assert "--include-outbound-ports" in complete("tidegate init --incl", 2)
