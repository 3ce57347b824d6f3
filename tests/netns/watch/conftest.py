"""The servers and the file that the tests of routes use, here too."""

from tests.netns.parsed.conftest import file, versions

__all__ = ["file", "versions"]
