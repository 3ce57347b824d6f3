"""Files and folders: what is read, what is refused, what counts as a change."""

import os
from pathlib import Path

import pytest

from mesh.sources.files import ConfigSource, load
from mesh.yaml import files
from mesh.yaml.problems import ConfigError, Problems
from tests.unit.mesh.support import SERVICE, SLICE


def refused(*paths: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load([str(path) for path in paths])
    return [str(problem) for problem in caught.value.problems]


def test_a_folder_stands_for_its_own_files(tmp_path: Path) -> None:
    (tmp_path / "b.yml").write_text(SERVICE)
    (tmp_path / "a.json").write_text('{"apiVersion": "v1", "kind": "List", "items": []}')
    (tmp_path / "notes.txt").write_text("no yaml: at: all")
    (tmp_path / ".hidden.yaml").write_text("no yaml: at: all")
    (tmp_path / "below").mkdir()
    problems = Problems()
    assert [path.name for path in files.expand([str(tmp_path)], problems)] == ["a.json", "b.yml"]
    assert [str(one) for one in problems] == [
        f"{tmp_path}/below: warning: folders inside a folder are not read: name it by itself"
    ]


def test_a_mounted_config_map_is_read_and_its_swap_noticed(tmp_path: Path) -> None:
    def publish(version: str, text: str) -> None:
        data = tmp_path / f"..{version}"
        data.mkdir()
        (data / "web.yaml").write_text(text)
        (tmp_path / "..data_tmp").symlink_to(data.name)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    publish("1", SERVICE)
    (tmp_path / "web.yaml").symlink_to("..data/web.yaml")
    source = ConfigSource([str(tmp_path)])
    first, _ = source.load()
    assert not source.changed()
    publish("2", SERVICE.replace("10.0.0.1", "10.0.0.2"))
    assert source.changed()
    second, _ = source.load()
    assert not source.changed()
    assert [key[0] for key in first.outbound] == ["10.0.0.1"]
    assert [key[0] for key in second.outbound] == ["10.0.0.2"]


@pytest.mark.parametrize("change", ["rewrite", "touch", "remove", "add"])
def test_every_change_is_noticed(tmp_path: Path, change: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(SERVICE)
    source = ConfigSource([str(tmp_path)])
    source.load()
    match change:
        case "rewrite":
            file.write_text(SERVICE + "# more\n")
        case "touch":
            os.utime(file, ns=(1, 1))
        case "remove":
            file.unlink()
        case "add":
            (tmp_path / "b.yaml").write_text(SLICE)
    assert source.changed()


def test_what_is_no_text_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"a: 1\nb: \xff\xfe\n")
    assert refused(file) == [f"{file}:2: byte 0xff is not valid: the text has to be UTF-8"]


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + SERVICE.encode())
    assert len(load([str(file)]).documents.all) == 1


def test_huge_and_odd_files_are_refused(tmp_path: Path) -> None:
    huge, pipe = tmp_path / "huge.yaml", tmp_path / "pipe.yaml"
    with huge.open("wb") as opened:
        opened.truncate(files.MAX_FILE + 1)
    os.mkfifo(pipe)
    told = refused(huge, pipe, tmp_path / "absent.yaml")
    assert [line.split(": ", 1)[1] for line in told] == [
        "the file is too big: a file has at most 16 MiB",
        "this is neither a file nor a folder",
        "can't be read: No such file or directory",
    ]


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(SERVICE)
    assert len(load([str(file), str(tmp_path)]).documents.all) == 1
