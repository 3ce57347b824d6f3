"""Symbolic links on the way to a file of configuration."""

import os
import stat
from pathlib import Path

import pytest

from mesh.yaml.links import may, refusal


def about(mode: int, uid: int) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, uid, 0, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "uid", "expected"),
    [
        (stat.S_IFREG | 0o644, 0, True),
        (stat.S_IFREG | 0o640, 0, False),
        (stat.S_IFREG | 0o400, 1000, True),
        (stat.S_IFREG | 0o004, 1000, False),
        (stat.S_IFREG | 0o711, 0, False),
        (stat.S_IFDIR | 0o711, 0, True),
        (stat.S_IFDIR | 0o744, 0, False),
        (stat.S_IFDIR | 0o700, 1000, True),
    ],
)
def test_what_a_user_may_read(mode: int, uid: int, expected: bool) -> None:
    assert may(about(mode, uid), 1000) is expected


def test_own_links_lead_anywhere_and_are_followed_as_the_kernel_does(tmp_path: Path) -> None:
    file = tmp_path / "a" / "file"
    file.parent.mkdir()
    file.write_text("x")
    (tmp_path / "folder").symlink_to("a/../a/./")
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "file")
    assert refusal(tmp_path / "link", file.stat()) == ""
    assert refusal(tmp_path / "a" / ".." / "link", file.stat()) == ""


def test_a_file_that_was_exchanged_is_noticed(tmp_path: Path) -> None:
    one, other, link = tmp_path / "one", tmp_path / "other", tmp_path / "link"
    one.touch()
    other.touch()
    link.symlink_to("one")
    assert refusal(link, other.stat()) == "was exchanged while it was opened"


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert "too many" in refusal(tmp_path / "a", tmp_path.stat())
