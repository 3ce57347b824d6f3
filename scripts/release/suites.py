"""The distributions that there are packages for, and where each of our Python dependencies comes from there. Pure."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Suite:
    name: str
    tag: str
    """Ends the package's version, so that a newer release of the distribution has the newer package."""
    python: str
    glibc: tuple[int, int]
    provided: Mapping[str, str]
    """Name on PyPI -> the suite's package, where its version is new enough for pyproject.toml. The rest is bundled."""

    @property
    def python_tag(self) -> str:
        return "cp" + self.python.replace(".", "")

    @property
    def depends(self) -> list[str]:
        """The package's Depends, but for libc."""
        low = self.python
        above = f"{low.split('.')[0]}.{int(low.split('.')[1]) + 1}"
        system = [
            f"python3 (>= {low})",
            f"python3 (<< {above})",
            "python3-nftables",
            "iptables",
            "libbpf1 (>= 1:1.0)",
            "libyaml-0-2",
        ]
        return system + sorted(self.provided.values())


SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            "bookworm",
            "deb12",
            "3.11",
            (2, 36),
            {"click": "python3-click (>= 8.1)", "PyYAML": "python3-yaml (>= 6.0)", "rich": "python3-rich (>= 13)"},
        ),
        Suite(
            "trixie",
            "deb13",
            "3.13",
            (2, 41),
            {
                "cffi": "python3-cffi-backend (>= 1.16)",
                "click": "python3-click (>= 8.1)",
                "msgspec": "python3-msgspec (>= 0.18)",
                "prometheus-client": "python3-prometheus-client (>= 0.20)",
                "PyYAML": "python3-yaml (>= 6.0)",
                "rich": "python3-rich (>= 13)",
                "ruamel.yaml": "python3-ruamel.yaml (>= 0.18)",
                "uvloop": "python3-uvloop (>= 0.19)",
            },
        ),
        Suite(
            "noble",
            "ubuntu24.04",
            "3.12",
            (2, 39),
            {
                "cffi": "python3-cffi-backend (>= 1.16)",
                "click": "python3-click (>= 8.1)",
                "PyYAML": "python3-yaml (>= 6.0)",
                "rich": "python3-rich (>= 13)",
            },
        ),
    )
}


def requirements() -> list[Requirement]:
    """Of pyproject.toml, which is the one place where they stand."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [Requirement(text) for text in project["dependencies"]]


def bundled(suite: Suite) -> list[str]:
    """Names on PyPI of what the suite lacks or has too old."""
    return sorted(each.name for each in requirements() if each.name not in suite.provided)


def version() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])
