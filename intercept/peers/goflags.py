"""Command lines the way Go programs read them: pflag (istio-iptables, proxy-init, kumactl) and Go's `flag` (consul).

A parser of our own, because argparse and click can't be made to agree with either. argparse abbreviates long names and
takes `-1` for a flag where a value is due (`-u -1`); click's switches take no value (`--ipv6=false`); neither knows
that `-p15001`, `-p=15001` and `-np15001` all set `-p`, or that in Go's `flag` one dash is as good as two.
Pure: text in, values out, and never another exception than BadInput.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from intercept.errors import BadInput


class Kind(Enum):
    TEXT = "text"
    BOOL = "bool"
    INT = "int"
    DURATION = "duration"
    LIST = "list"
    """Given again, it adds to what was given before; any other kind replaces it."""


class Style(Enum):
    PFLAG = "pflag"
    """`--name`, `-n`, grouped short names; positional words may stand anywhere."""
    GO = "go"
    """`-name` and `--name` alike, no short names; the first positional word ends the flags."""


@dataclass(frozen=True, slots=True)
class Flag:
    """`ignored`: it is known, and means nothing here."""

    name: str
    short: str = ""
    kind: Kind = Kind.TEXT
    ignored: bool = False


@dataclass(frozen=True, slots=True)
class Given:
    """One setting as somebody gave it. `where` names the flag, variable or file key, for messages."""

    where: str
    text: str


Values = dict[str, list[Given]]
"""By long name: what a flag was last set to; of a LIST, every time it was given, in order."""


def parse(known: Sequence[Flag], argv: Sequence[str], *, style: Style, command: Sequence[str]) -> Values:
    """What the flags of `command` were set to.

    argv may begin with the command's own words or the last of them, as pods spell them. Raises BadInput for any other
    word, an unknown flag, a missing value, or one that isn't of the flag's kind.
    """
    parser = _Parser(known, style, command[-1])
    words = parser.parse(_without_command(argv, command))
    if words:
        raise BadInput(command[-1], words[0], "flags only: it is neither a flag nor a flag's value")
    return parser.found


def _without_command(argv: Sequence[str], command: Sequence[str]) -> Sequence[str]:
    for length in range(len(command), 0, -1):
        words = [*(word.rpartition("/")[2] for word in argv[:1]), *argv[1:length]]
        if words == list(command[-length:]):
            return argv[length:]
    return argv


class _Parser:
    def __init__(self, known: Sequence[Flag], style: Style, tool: str) -> None:
        self.found: Values = {}
        self._long = {flag.name: flag for flag in known}
        self._short = {flag.short: flag for flag in known if flag.short}
        self._style = style
        self._tool = tool
        self._rest: list[str] = []

    def parse(self, argv: Sequence[str]) -> list[str]:
        self._rest = list(argv)
        words: list[str] = []
        while self._rest:
            word = self._rest.pop(0)
            if word == "--":
                words += self._rest
                break
            if word == "-" or not word.startswith("-"):
                words.append(word)
                if self._style is Style.GO:
                    words += self._rest
                    break
            elif word.startswith("--") or self._style is Style.GO:
                self._take_long(word)
            else:
                self._take_short(word)
        return words

    def _take_long(self, word: str) -> None:
        name, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
        if not name or name.startswith("-"):
            raise BadInput(self._tool, word, "a flag: bad syntax")
        flag = self._long.get(name) or self._unknown(word)
        self._add(flag, value if equals else self._value(flag, word))

    def _take_short(self, word: str) -> None:
        letters = word[1:]
        while letters:
            flag = self._short.get(letters[0]) or self._unknown(f"-{letters[0]}", word)
            if len(letters) > 2 and letters[1] == "=":
                self._add(flag, letters[2:])
                return
            letters = letters[1:]
            if flag.kind is Kind.BOOL:
                self._add(flag, "true")
                continue
            self._add(flag, letters or self._value(flag, word))
            return

    def _value(self, flag: Flag, word: str) -> str:
        if flag.kind is Kind.BOOL:
            return "true"
        if not self._rest:
            raise BadInput(self._tool, word, "a flag that a value has to follow")
        return self._rest.pop(0)

    def _add(self, flag: Flag, text: str) -> None:
        given = Given(self._label(flag), text)
        check(flag.kind, given)
        before = self.found.get(flag.name, []) if flag.kind is Kind.LIST else []
        self.found[flag.name] = [*before, given]

    def _label(self, flag: Flag) -> str:
        if self._style is Style.GO:
            return f"-{flag.name}"
        return f"-{flag.short}/--{flag.name}" if flag.short else f"--{flag.name}"

    def _unknown(self, flag: str, word: str = "") -> Flag:
        within = f" (in {word!r})" if word and word != flag else ""
        raise BadInput(self._tool, flag, f"a flag that {self._tool} knows{within}")


def check(kind: Kind, given: Given) -> None:
    """Raise BadInput when the text isn't of that kind."""
    match kind:
        case Kind.BOOL:
            go_bool(given)
        case Kind.INT:
            go_int(given)
        case Kind.DURATION:
            if not _DURATION.fullmatch(given.text):
                raise BadInput(given.where, given.text, "a duration such as 5s, 300ms or 1h30m")
        case Kind.TEXT | Kind.LIST:
            pass


def go_bool(given: Given) -> bool:
    """As strconv.ParseBool."""
    if given.text in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if given.text in ("0", "f", "F", "FALSE", "false", "False"):
        return False
    raise BadInput(given.where, given.text, "1, t, T, TRUE, true, True, 0, f, F, FALSE, false or False")


_INT = re.compile(r"[+-]?(0[xX](_?[0-9a-fA-F])+|0[bB](_?[01])+|0[oO](_?[0-7])+|0(_?[0-7])*|[1-9](_?[0-9])*)", re.ASCII)
_DURATION = re.compile(r"[+-]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)
_LONGEST_INT = 100


def go_int(given: Given) -> int:
    """As strconv.ParseInt(text, 0, 64): 0x, 0b and 0o prefixes, a leading 0 for octal, underscores between digits."""
    text = given.text
    if len(text) <= _LONGEST_INT and _INT.fullmatch(text):
        digits = text.lstrip("+-").replace("_", "").lower()
        old_octal = len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
        value = int(digits, 8 if old_octal else 0)
        value = -value if text.startswith("-") else value
        if -(2**63) <= value < 2**63:
            return value
    raise BadInput(given.where, text, "a whole number")
