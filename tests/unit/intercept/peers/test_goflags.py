"""Go's command-line syntax, spelling by spelling, and: whatever comes, values or BadInput."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intercept.errors import BadInput
from intercept.peers.goflags import Flag, Given, Kind, Style, go_bool, go_int, parse

FLAGS = (
    Flag("port", "p"),
    Flag("count", "c", Kind.INT),
    Flag("dry-run", "n", Kind.BOOL),
    Flag("verbose", "v", Kind.BOOL),
    Flag("skip", "s", Kind.LIST),
    Flag("after", kind=Kind.DURATION),
)


def texts(*argv: str, style: Style = Style.PFLAG) -> dict[str, list[str]]:
    values = parse(FLAGS, argv, style=style, command=("outer", "tool"))
    return {name: [one.text for one in given] for name, given in values.items()}


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (("--port=1",), {"port": ["1"]}),
        (("--port", "1"), {"port": ["1"]}),
        (("-p", "1"), {"port": ["1"]}),
        (("-p1",), {"port": ["1"]}),
        (("-p=1",), {"port": ["1"]}),
        (("--port=",), {"port": [""]}),
        (("--port", ""), {"port": [""]}),
        (("--port=a=b",), {"port": ["a=b"]}),
        (("-p=",), {"port": ["="]}),  # pflag's own reading of it
        (("--port", "--dry-run"), {"port": ["--dry-run"]}),
        (("-c", "-1"), {"count": ["-1"]}),
        (("--count=-1",), {"count": ["-1"]}),
        (("-c0x10",), {"count": ["0x10"]}),
        (("-n",), {"dry-run": ["true"]}),
        (("-n=false",), {"dry-run": ["false"]}),
        (("--dry-run=F",), {"dry-run": ["F"]}),
        (("-nv",), {"dry-run": ["true"], "verbose": ["true"]}),
        (("-nvp15001",), {"dry-run": ["true"], "verbose": ["true"], "port": ["15001"]}),
        (("-nvp", "15001"), {"dry-run": ["true"], "verbose": ["true"], "port": ["15001"]}),
        (("-s", "1,2", "--skip=3"), {"skip": ["1,2", "3"]}),
        (("-p", "1", "--port=2"), {"port": ["2"]}),
        (("--after", "1h30m"), {"after": ["1h30m"]}),
        (("-n", "--"), {"dry-run": ["true"]}),
        (("tool", "-n"), {"dry-run": ["true"]}),
        (("/usr/bin/outer", "tool", "-n"), {"dry-run": ["true"]}),
        ((), {}),
    ],
)
def test_pflag_spellings(argv: tuple[str, ...], wanted: dict[str, list[str]]) -> None:
    assert texts(*argv) == wanted


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (("-port", "1"), {"port": ["1"]}),
        (("-port=1",), {"port": ["1"]}),
        (("--port=1",), {"port": ["1"]}),
        (("--port", "1"), {"port": ["1"]}),
        (("-dry-run",), {"dry-run": ["true"]}),
        (("-dry-run=0",), {"dry-run": ["0"]}),
        (("-skip", "1", "-skip", "2"), {"skip": ["1", "2"]}),
        (("outer", "tool", "-port", "1"), {"port": ["1"]}),
    ],
)
def test_go_flag_spellings(argv: tuple[str, ...], wanted: dict[str, list[str]]) -> None:
    assert texts(*argv, style=Style.GO) == wanted


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (("--nope",), "--nope"),
        (("--nope=1",), "--nope=1"),
        (("-x",), "-x"),
        (("-nx",), "-x"),
        (("--por", "1"), "--por"),  # nothing is abbreviated
        (("-port", "1"), "'1'"),  # grouped short names: -p with the value "ort", then a word
        (("--port",), "--port"),
        (("-p",), "-p"),
        (("--dry-run", "false"), "false"),  # a switch takes its value with = only
        (("--dry-run=maybe",), "maybe"),
        (("--dry-run=",), "''"),
        (("--dry-run=yes",), "yes"),
        (("--count=ten",), "ten"),
        (("--count=9223372036854775808",), "9223372036854775808"),
        (("--after=soon",), "soon"),
        (("---port",), "---port"),
        (("--=1",), "--=1"),
        (("word",), "word"),
        (("-n", "--", "-p"), "-p"),
        (("-",), "-"),
        (("--help",), "--help"),
        (("outer", "nope"), "outer"),
    ],
)
def test_pflag_refusals_name_the_word(argv: tuple[str, ...], named: str) -> None:
    with pytest.raises(BadInput) as refused:
        texts(*argv)
    assert named in str(refused.value)


@pytest.mark.parametrize("argv", [("-p", "1"), ("-n",), ("-port",), ("word", "-port", "1"), ("-dry-run", "true")])
def test_go_flag_refusals(argv: tuple[str, ...]) -> None:
    with pytest.raises(BadInput):
        texts(*argv, style=Style.GO)


def test_a_value_is_known_by_both_names_of_its_flag() -> None:
    values = parse(FLAGS, ("-p", "1"), style=Style.PFLAG, command=("tool",))
    assert values["port"][0].where == "-p/--port"


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_true(text: str) -> None:
    assert go_bool(Given("x", text)) is True


@pytest.mark.parametrize("text", ["0", "f", "F", "FALSE", "false", "False"])
def test_false(text: str) -> None:
    assert go_bool(Given("x", text)) is False


@pytest.mark.parametrize("text", ["", "yes", "no", "on", "off", "tRUE", " true", "true ", "2", "-1", "y", "\uff11"])
def test_neither(text: str) -> None:
    with pytest.raises(BadInput, match="x: "):
        go_bool(Given("x", text))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("0", 0), ("-1", -1), ("+7", 7), ("0x1F", 31), ("0b101", 5), ("0o17", 15), ("017", 15), ("1_000", 1000)],
)
def test_numbers(text: str, wanted: int) -> None:
    assert go_int(Given("x", text)) == wanted


@pytest.mark.parametrize("text", ["", "1__0", "_1", "1_", "08", "0x", "1.0", "1e3", "--1", " 1", "\uff19", "9" * 5000])
def test_no_numbers(text: str) -> None:
    with pytest.raises(BadInput):
        go_int(Given("x", text))


WORDS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["--port", "-p", "-p1", "-n", "--dry-run=true", "-c", "5", "--", "-nvs", "--skip=", "--after=1s"]),
)


@given(st.lists(WORDS, max_size=8), st.sampled_from(Style))
def test_values_or_bad_input_and_nothing_else(argv: list[str], style: Style) -> None:
    try:
        values = parse(FLAGS, argv, style=style, command=("outer", "tool"))
    except BadInput:
        return
    assert set(values) <= {flag.name for flag in FLAGS}
    for name, given_values in values.items():
        assert given_values, name
        assert len(given_values) == 1 or name == "skip"


@given(st.lists(st.tuples(st.sampled_from(["port", "skip"]), st.text(max_size=8), st.booleans()), max_size=6))
def test_what_is_written_is_read(settings: list[tuple[str, str, bool]]) -> None:
    """`--name=value` and `--name value` round-trip any text."""
    argv: list[str] = []
    wanted: dict[str, list[str]] = {}
    for name, value, with_equals in settings:
        argv += [f"--{name}={value}"] if with_equals else [f"--{name}", value]
        wanted[name] = [*wanted.get(name, []), value] if name == "skip" else [value]
    assert texts(*argv) == wanted


@given(st.integers(min_value=-(2**63), max_value=2**63 - 1), st.sampled_from(["d", "#x", "#o", "#b", "_d"]))
def test_every_notation_of_a_number(number: int, notation: str) -> None:
    assert go_int(Given("x", format(number, notation))) == number
