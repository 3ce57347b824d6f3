"""What people read: nothing essential is cut at 80 columns, and a file gets plain lines."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys

from tidegate.rows import Row, plain, show

LONG = "connections to [2001:db8:1111:2222:3333:4444:5555:6666]:65535 " * 4
ROWS = [Row("capture", "in force", "good"), Row("drift", LONG.strip(), "bad"), Row("drift", "[red]no markup[/red]")]
SHOWN = f"from tidegate.rows import Row, show; show({ROWS!r})"


def test_a_file_gets_plain_lines_of_any_length() -> None:
    out = io.StringIO()
    show(ROWS, out)
    assert out.getvalue() == "\n".join(plain(ROWS)) + "\n"
    assert out.getvalue().splitlines()[1] == f"drift    {LONG.strip()}"


def test_rich_is_not_imported_for_a_file() -> None:
    code = f"{SHOWN}\nimport sys\nassert 'rich' not in sys.modules, 'rich costs more than the command'"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_a_terminal_of_80_columns_cuts_nothing() -> None:
    ours, theirs = pty.openpty()
    try:
        environ = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
        subprocess.run([sys.executable, "-c", SHOWN], check=True, stdout=theirs, env=environ)
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # how a pty ends
            pass
    finally:
        os.close(ours)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).splitlines()
    assert b"\x1b[" in shown, "no colours on a terminal"
    assert max(map(len, lines)) <= 80, lines
    text = "".join(line[9:].rstrip() + " " for line in lines)
    for row in ROWS:
        assert re.sub(r"\s+", "", row.text) in re.sub(r"\s+", "", text)
