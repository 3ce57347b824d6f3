"""Names under which things of ours stand in the kernel, and whether a run that made them still lives."""

import re

PLAIN = "tidegate"
"""What `init` puts in force."""
_RUN = re.compile(r"tidegate-run-(\d+)-(\d+)")


def is_ours(name: str) -> bool:
    return name == PLAIN or _RUN.fullmatch(name) is not None


def is_run(name: str) -> bool:
    return _RUN.fullmatch(name) is not None


def lives(name: str) -> bool:
    """Whether the process that made this run's rules still runs; its start time guards against a reused pid."""
    made_by = _RUN.fullmatch(name)
    if made_by is None:
        return False
    try:
        with open(f"/proc/{made_by[1]}/stat", "rb") as file:
            stat = file.read()
    except OSError:
        return False
    # The name in brackets may itself hold blanks and brackets: fields are counted from the last one.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return fields[0] not in (b"Z", b"X") and int(fields[19]) == int(made_by[2])
