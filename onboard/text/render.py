"""Plain values as YAML text, in block or in flow style. Every string is quoted, so none can become anything else."""

import json
import re
from collections.abc import Mapping, Sequence

Value = str | int | bool | Mapping[str, "Value"] | Sequence["Value"]

_PLAIN_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*(/[A-Za-z0-9_.-]+)?")


def block(value: Value) -> list[str]:
    """Lines without their indentation; strings in double quotes, which YAML reads as JSON does."""
    if isinstance(value, Mapping):
        return [line for key, one in value.items() for line in _entry(key, one)]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [line for one in value for line in item(one)]
    return [flow(value)]


def item(value: Value) -> list[str]:
    """A value as an item of a block sequence."""
    lines = block(value)
    return [f"- {lines[0]}", *(f"  {line}" for line in lines[1:])]


def flow(value: Value) -> str:
    """JSON, which every YAML parser reads. Not `ensure_ascii`: a surrogate pair would be two characters in YAML."""
    return json.dumps(value, ensure_ascii=False)


def _entry(key: str, value: Value) -> list[str]:
    name = key if _PLAIN_KEY.fullmatch(key) else flow(key)
    if isinstance(value, Mapping) and value:
        return [f"{name}:", *(f"  {line}" for line in block(value))]
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        return [f"{name}:", *block(value)]
    return [f"{name}: {flow(value)}"]
