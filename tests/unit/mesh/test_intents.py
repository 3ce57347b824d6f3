"""Capture documents mean what init's flags mean, and are judged by the same parser."""

from pathlib import Path

import pytest

from intercept.intent.from_flags import FLAGS, intent_from_flags
from mesh.capture import capture_problems, flags_of, merged
from mesh.documents import read_text, together
from mesh.kinds.capture import CaptureSpec
from mesh.yaml.problems import ConfigError, Problems

HEAD = "apiVersion: tidegate.dev/v1alpha1\nkind: Capture\nmetadata: {name: c}\nspec:\n"


def read(spec: str) -> tuple[dict[str, object], list[str]]:
    problems = Problems()
    documents = together([read_text("f.yaml", HEAD + spec)], problems)
    capture_problems(documents, problems)
    return flags_of(documents, Problems()), [str(problem) for problem in problems.sorted()]


def test_there_is_a_field_for_every_flag_of_init() -> None:
    fields = {name.replace("_", "-") for name in CaptureSpec.__struct_fields__} - {"line", "lines"}
    assert fields == set(FLAGS) - {"telemetry-port"}


@pytest.mark.parametrize(
    ("spec", "flags"),
    [
        ("  mode: nftables\n", {"--mode": "nftables"}),
        ("  excludeOutboundPorts: [22, 8000-8100]\n", {"--exclude-outbound-ports": "22,8000-8100"}),
        ("  excludeOutboundPorts: '22, 8000-8100,'\n", {"--exclude-outbound-ports": "22, 8000-8100,"}),
        ("  excludeOutboundPorts: 22\n", {"--exclude-outbound-ports": "22"}),
        ("  includeOutboundCidrs: '*'\n", {"--include-outbound-cidrs": "*"}),
        ("  includeOutboundCidrs: []\n", {"--include-outbound-cidrs": ""}),
        ("  excludeOutboundFor: ['tcp:80:1', 7]\n", {"--exclude-outbound-for": ["tcp:80:1", "7"]}),
        ("  dropInvalid: true\n  dns: off\n", {"--drop-invalid": True, "--dns": "off"}),
        ("  dropInvalid: false\n", {}),
        ("  proxyUid: [1337, 0]\n  proxyMark: 0x10\n", {"--proxy-uid": "1337,0", "--proxy-mark": "16"}),
        ("  excludeInboundCidrs: [10.0.0.0/8]\n", {"--exclude-inbound-cidrs": "10.0.0.0/8"}),
    ],
)
def test_fields_become_flags(spec: str, flags: dict[str, object]) -> None:
    found, problems = read(spec)
    assert (found, problems) == (flags, [])
    intent_from_flags({key.removeprefix("--"): value for key, value in found.items()}, cgroup_mount="")  # type: ignore[misc]


@pytest.mark.parametrize(
    ("spec", "line", "part"),
    [
        ("  mode: auto\n  excludeOutboundPorts: [22, 70000]\n", 6, "spec.excludeOutboundPorts: '70000'"),
        ("  excludeOutboundCidrs: [10.0.0.1/8]\n", 5, "did you mean 10.0.0.0/8"),
        ("  excludeOutboundCidrs: '*'\n", 5, "spec.excludeOutboundCidrs: '*'"),
        ("  mode: fast\n", 5, "spec.mode: 'fast'"),
        ("  dns: on\n", 5, "spec.dns: 'on'"),
        ("  excludePorts: 5\n", 5, "spec.excludePorts: there is no such field"),
        ("  dropInvalid: 'yes'\n", 5, "true or false"),
        ("  outboundPort: 15006\n", 5, "spec.inboundPort: '15006'"),
        ("  virtualInterfaces: ['eth0; drop']\n", 5, "spec.virtualInterfaces"),
        ("  excludeOutboundPorts: [[1]]\n", 5, "spec.excludeOutboundPorts[0]"),
    ],
)
def test_mistakes_have_a_line(spec: str, line: int, part: str) -> None:
    _, problems = read(spec)
    assert len(problems) == 1, problems
    assert part in problems[0]
    assert problems[0].startswith((f"f.yaml:{line}: ", "f.yaml:4: ", "f.yaml:5: "))


def test_every_mistake_is_told() -> None:
    assert len(read("  mode: fast\n  dns: some\n  proxyUid: root\n")[1]) == 3


def test_the_command_line_wins(tmp_path: Path) -> None:
    file = tmp_path / "capture.yaml"
    file.write_text(HEAD + "  mode: nftables\n  dns: all\n")
    assert merged((str(file),), {"--mode": "iptables"}) == ({"--mode": "iptables", "--dns": "all"}, ())


def test_one_capture_only(tmp_path: Path) -> None:
    file = tmp_path / "capture.yaml"
    file.write_text(HEAD + "  mode: auto\n---\n" + HEAD.replace("{name: c}", "{name: d}") + "  mode: auto\n")
    with pytest.raises(ConfigError, match="only one Capture can be in force"):
        merged((str(file),), {})
    file.write_text("")
    with pytest.raises(ConfigError, match="no document of kind Capture"):
        merged((str(file),), {})
