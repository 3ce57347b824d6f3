"""Values of policy as plain ones, for people and tools: what is as it is by default is left out."""

from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from typing import Any

from proxy.core.policy.cluster import Cluster


def plain(value: Any) -> Any:
    """A cluster becomes its name, a set a list in order; what JSON knows stays as it is."""
    if isinstance(value, Cluster):
        return value.name
    if is_dataclass(value) and not isinstance(value, type):
        given = ((one.name, getattr(value, one.name)) for one in fields(value) if not _default(one, value))
        return {name: plain(found) for name, found in given}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: plain(found) for name, found in value._asdict().items()}
    if isinstance(value, set | frozenset):
        return sorted(plain(one) for one in value)
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return str(value.value) if isinstance(value, Enum) else value


def _default(field: "Field[Any]", value: Any) -> bool:
    found = getattr(value, field.name)
    if field.default is not MISSING:
        return bool(found == field.default)
    return field.default_factory is not MISSING and bool(found == field.default_factory())
