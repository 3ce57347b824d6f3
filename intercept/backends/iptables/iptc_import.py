"""Importing python-iptables in a twentieth of the time that it takes by itself (0.4 s, several processes of ldconfig).

While it is imported, it is told what it would go and find out: that there is no distutils (it has its own way without,
and setuptools' stand-in takes most of the time), under which names its C libraries are known, and where the plug-ins
are that it insists on finding though we use none. Whatever isn't as we know it, it finds out in its own way.
"""

import ctypes
import ctypes.util
import glob
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from intercept.errors import Unsupported

_KNOWN = {"c": "libc.so.6", "ip4tc": "libip4tc.so.2", "ip6tc": "libip6tc.so.2", "xtables": "libxtables.so.12"}
_PLUGINS = "XTABLES_LIBDIR"


def load() -> Any:
    """The module `iptc`. Raises Unsupported, saying what to install."""
    if "iptc" in sys.modules:
        return sys.modules["iptc"]
    try:
        with _told():
            import iptc
    except ModuleNotFoundError as missing:
        raise Unsupported(f"iptables mode needs the Python module {missing.name} (python-iptables)") from None
    except Exception as error:  # it raises plain exceptions while it looks for its C libraries
        raise Unsupported(f"iptables mode needs libiptc and libxtables (apt install iptables): {error}") from None
    return iptc


@contextmanager
def _told() -> Iterator[None]:
    original = ctypes.util.find_library
    folders = glob.glob("/usr/lib/*-linux-gnu/xtables") or glob.glob("/usr/lib*/xtables")
    given = os.environ.get(_PLUGINS)
    there = sys.modules.get("distutils")
    # Its own extension lies beside it and is no system library: that it isn't found here leads to where it is.
    ctypes.util.find_library = lambda name: None if "xtwrapper" in name else _by_name(name) or original(name)
    if given is None and folders:
        os.environ[_PLUGINS] = folders[0]
    if there is None:
        sys.modules["distutils"] = None  # type: ignore[assignment] # that is how Python is told that there is none
    try:
        yield
    finally:
        ctypes.util.find_library = original
        if given is None:
            os.environ.pop(_PLUGINS, None)
        if there is None:
            sys.modules.pop("distutils", None)


def _by_name(name: str) -> str | None:
    soname = _KNOWN.get(name)
    if soname is None:
        return None
    try:
        ctypes.CDLL(soname)
    except OSError:
        return None
    return soname
