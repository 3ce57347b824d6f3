"""Tidying up after the point of no return: what is left to do changes nothing that is in force, so a passing failure
(no memory just now, somebody else's change at the same moment) is no reason to end with half of it done."""

import time
from collections.abc import Callable
from typing import TypeVar

from intercept.errors import CaptureError, PrivilegeMissing, Unsupported

_T = TypeVar("_T")
_PAUSES_S = (0.01, 0.05)


def persistently(action: Callable[[], _T]) -> _T:
    """What `action` (which may be repeated) returns; its error when that keeps coming."""
    for pause in _PAUSES_S:
        try:
            return action()
        except (PrivilegeMissing, Unsupported):
            raise
        except CaptureError:
            time.sleep(pause)
    return action()
