"""Our packages, as pyproject.toml says that they are delivered. What follows the list reads it here."""

import tomllib

from scripts.release.suites import ROOT


def delivered() -> tuple[str, ...]:
    """Names of the top packages."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    return tuple(pattern.removesuffix("*") for pattern in setuptools["packages"]["find"]["include"])


def data() -> dict[str, list[str]]:
    """Package -> patterns of its files that are no modules and are delivered too."""
    found: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "setuptools"
    ]["package-data"]
    return found
