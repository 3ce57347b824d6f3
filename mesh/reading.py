"""Files and folders -> documents. A file that has not changed since it was read is not read again."""

from collections.abc import Iterable
from pathlib import Path

from mesh.documents import Documents, FileDocuments, read_text, together
from mesh.yaml import files
from mesh.yaml.problems import Problems


def read(paths: Iterable[str], problems: Problems) -> Documents:
    """Everything in these files and folders, once."""
    return Reader().read(paths, problems)


class Reader:
    """Remembers what the files of its last reading held."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[files.Stamp, int, FileDocuments]] = {}

    def read(self, paths: Iterable[str], problems: Problems) -> Documents:
        """What is wrong is noted in problems. What is right is returned, so that one run can tell everything that
        is wrong."""
        before, self._known = self._known, {}
        room = files.MAX_TOTAL
        found: list[FileDocuments] = []
        for path in files.expand(paths, problems):
            stamp = files.stamp(path)
            known = before.get(path)
            if known is not None and stamp == known[0] and known[1] <= room and files.may_read(path):
                size, one = known[1:]
            else:
                unreadable = Problems()
                text = files.read(path, room, unreadable)
                if text is None:
                    found.append(FileDocuments(str(path), (), unreadable))
                    continue
                size, one = len(text), read_text(str(path), text)
            room -= size
            found.append(one)
            if stamp is not None:
                self._known[path] = (stamp, size, one)
        return together(found, problems)
