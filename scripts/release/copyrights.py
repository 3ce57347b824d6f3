"""The package's copyright file: ours, and the licences of what it bundles, in the words of each."""

from email.parser import Parser
from pathlib import Path

_OURS = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: tidegate
Comment: The files below /usr/lib/tidegate/lib are tidegate's own and, as listed here, those of libraries that the
 distribution lacks or has in an older version than tidegate needs.

Files: *
Copyright: The tidegate authors
License: Apache-2.0

Files: usr/lib/tidegate/lib/*/site-packages/bpf/objects/*
Copyright: The tidegate authors
License: BSD-2-Clause or GPL-2
 The compiled BPF programs may be used under either licence; the text of the GPL stands in
 /usr/share/common-licenses/GPL-2.

License: Apache-2.0
 The text of the licence stands in /usr/share/common-licenses/Apache-2.0.
"""
_COMMON = (
    ("TERMS AND CONDITIONS FOR USE, REPRODUCTION", "Apache-2.0"),
    ("GNU GENERAL PUBLIC LICENSE", "GPL-2"),
)


def text(site: Path, wheels: list[Path]) -> str:
    """site: where the wheels were unpacked."""
    parts = [_OURS]
    for wheel in wheels:
        name, version = wheel.name.split("-")[:2]
        facts = site / f"{name}-{version}.dist-info"
        told = Parser().parsestr((facts / "METADATA").read_text(encoding="utf-8"))
        short = f"{name}-licence"
        author = told["Author"] or told["Author-email"] or told["Maintainer"] or f"The {name} authors"
        parts.append(
            f"Files: usr/lib/tidegate/lib/*/site-packages/*{name.lower()}*\nCopyright: {author}\nLicense: {short}\n"
        )
        parts.append(f"License: {short}\n{_indented(_licence(facts, told['License'] or told['License-Expression']))}")
    return "\n".join(parts)


def _licence(facts: Path, named: str | None) -> str:
    files = sorted(
        path
        for path in facts.rglob("*")
        if path.is_file() and path.name.upper().startswith(("LICENSE", "LICENCE", "COPYING", "NOTICE"))
    )
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in files]
    shortened = []
    for one in texts:
        common = next((short for words, short in _COMMON if words in one), None)
        shortened.append(one if common is None else f"See /usr/share/common-licenses/{common}.")
    return "\n".join(shortened) or (named or "see the project's page")


def _indented(licence: str) -> str:
    lines = (line.rstrip() for line in licence.strip().splitlines())
    return "".join(f" {line}\n" if line else " .\n" for line in lines)
