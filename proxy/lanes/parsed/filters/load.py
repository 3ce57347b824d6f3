"""Reads a filter's file. Its code runs as the proxy's user, so it is to be called when privileges are gone."""

import importlib.util
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.core.filter.heads import Answer, FilteredRequest, FilteredResponse
from proxy.errors import BadSetting

EXPECTED = "a Python file with on_request(request) or on_response(response)"


@dataclass(frozen=True, slots=True)
class Hooks:
    """name: the file's. A hook that the file has not is None."""

    name: str
    on_request: Callable[[FilteredRequest], Answer | None] | None
    on_response: Callable[[FilteredResponse], None] | None


def load(path: Path) -> Hooks:
    """Raises BadSetting."""
    spec = importlib.util.spec_from_file_location("tidegate_filter", path)
    if spec is None or spec.loader is None:
        raise BadSetting("--filter", path, EXPECTED)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as wrong:
        place = next(
            (one for one in traceback.extract_tb(wrong.__traceback__)[::-1] if one.filename == str(path)), None
        )
        line = getattr(wrong, "lineno", None) if place is None else place.lineno
        raise BadSetting("--filter", f"{path}:{line or 1}", f"{EXPECTED} ({wrong!r})") from wrong
    hooks = Hooks(path.name, _hook(module, path, "on_request"), _hook(module, path, "on_response"))
    if hooks.on_request is None and hooks.on_response is None:
        raise BadSetting("--filter", path, EXPECTED)
    return hooks


def _hook(module: Any, path: Path, name: str) -> Callable[[Any], Any] | None:
    found = getattr(module, name, None)
    if found is None or callable(found):
        return found
    raise BadSetting("--filter", path, f"{name} to be a function")
