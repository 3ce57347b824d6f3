"""Which skips may stand: those that name an older kernel than this one has to be, and what a backend cannot express."""

from __future__ import annotations

import re
from typing import NoReturn

import pytest

OLDER = re.compile(r"kernel older than (\d+)\.(\d+): .")
OLDEST = {"ebpf": ((5, 9), "sk_lookup")}
"""From which kernel on a backend works, and what it needs of it."""
CANNOT_EXPRESS = re.compile(r"cannot express: .")


def objection(reason: str, kernel: tuple[int, int], *, strict: bool) -> str | None:
    """Why this skip counts as a failure; None when it may stand.

    A skip that blames the kernel has to name the version that would do, and holds on kernels before it only: on a newer
    one the feature is missing for another reason, which a person has to see. `strict` (TIDEGATE_NO_SKIP=1) also refuses
    every reason that effort could remove.
    """
    reason = reason.removeprefix("Skipped: ")
    if reason.startswith("kernel older than"):
        named = OLDER.match(reason)
        if named is None:
            return f'a skip that blames the kernel reads "kernel older than MAJOR.MINOR: FEATURE": {reason}'
        since = (int(named[1]), int(named[2]))
        if kernel >= since:
            return f"this kernel is {kernel[0]}.{kernel[1]}, not older than {since[0]}.{since[1]}: {reason}"
        return None
    if strict and not CANNOT_EXPRESS.match(reason):
        return f"a skip is a failure under TIDEGATE_NO_SKIP=1: {reason}"
    return None


def blame_kernel(backend: str) -> NoReturn:
    """Skip a test of a backend that was refused, for the kernel's sake; see `objection` for when that may stand."""
    (major, minor), feature = OLDEST[backend]
    pytest.skip(f"kernel older than {major}.{minor}: {feature}")
