"""The compiled module has no Python types of its own; cext/engine/engine.py is its typed face."""

from typing import Any

ffi: Any
lib: Any
