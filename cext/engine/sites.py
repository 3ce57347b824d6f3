"""Sites of the engine: the rules by which it decides requests."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any

from cext.engine._engine import ffi, lib
from cext.engine.engine import Engine, check

ARRAYS = {
    "rules": "tg_site_rule",
    "conditions": "tg_condition",
    "backends": "tg_backend",
    "filters": "tg_filters",
    "edits": "tg_edit",
    "mirrors": "tg_mirror",
    "cors": "tg_cors",
    "pieces": "tg_piece",
    "policies": "tg_request_policy",
    "sessions": "tg_session",
}
_COUNTS = {name: f"{name.removesuffix('s')}_count" for name in ARRAYS}
_COUNTS |= {"cors": "cors_count", "policies": "policy_count"}


def struct_size(name: str) -> int:
    """Bytes of a struct of cext/engine/route/spec.h."""
    size: int = ffi.sizeof(name)
    return size


def spec(tag: int, flags: int, port: int, text: bytes, arrays: Mapping[str, bytes]) -> tuple[Any, list[Any]]:
    """A tg_site_spec, and what has to be kept while it is used. Raises ValueError where an array is cut short."""
    made = ffi.new("tg_site_spec *", {"tag": tag, "flags": flags, "port": port, "text_length": len(text)})
    kept = [ffi.from_buffer(text)]
    made.text = ffi.cast("char *", kept[0])
    for name, struct in ARRAYS.items():
        count, rest = divmod(len(arrays[name]), ffi.sizeof(struct))
        if rest:
            raise ValueError(f"{name}: {len(arrays[name])} bytes are no whole number of {struct}")
        kept.append(ffi.from_buffer(arrays[name]))
        setattr(made, name, ffi.cast(f"{struct} *", kept[-1]))
        setattr(made, _COUNTS[name], count)
    return made, kept


def set_site(
    engine: Engine, number: int, *, tag: int, flags: int, port: int, text: bytes, arrays: Mapping[str, bytes]
) -> None:
    """For new requests. Raises EngineError (EINVAL) where the parts do not hold together; nothing has changed then."""
    made, _kept = spec(tag, flags, port, text, arrays)
    check(lib.tg_engine_set_site(engine.handle, number, made), f"site {number}")


def remove_site(engine: Engine, number: int) -> None:
    """None there is no error."""
    result = lib.tg_engine_remove_site(engine.handle, number)
    if result != -errno.ENOENT:
        check(result, f"removing site {number}")
