"""Immutable records without generated code: `init` has 150 ms, and a dataclass costs 0.7 ms at import."""

from typing import Any, NoReturn, dataclass_transform


@dataclass_transform(frozen_default=True)
class Value:
    """Subclass it and annotate fields, as with a frozen dataclass: compared and hashed by type and fields.

    Defaults must be immutable. Inheriting from a subclass is not meant to work.
    """

    __match_args__: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        # Read as written, unresolved: `inspect` would cost more than dataclasses save.
        names = tuple(cls.__dict__.get("__annotations__", ()))  # noqa: RUF063
        cls.__match_args__ = names  # type: ignore[misc] # mypy takes it for a constant of the language

    def __init__(self, *values: Any, **named: Any) -> None:
        fields = self.__match_args__
        given = dict(zip(fields, values, strict=False))
        if len(values) > len(fields) or named.keys() - set(fields) or named.keys() & given.keys():
            raise TypeError(f"{type(self).__name__} has the fields {', '.join(fields) or '(none)'}")
        given |= named
        for name in fields:
            if name not in given:
                if not hasattr(type(self), name):
                    raise TypeError(f"{type(self).__name__} needs {name}")
                given[name] = getattr(type(self), name)
        self.__dict__.update(given)

    def _fields(self) -> tuple[object, ...]:
        return tuple(self.__dict__[name] for name in self.__match_args__)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._fields() == self._fields()

    def __hash__(self) -> int:
        return hash((type(self), self._fields()))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={self.__dict__[name]!r}" for name in self.__match_args__)
        return f"{type(self).__name__}({shown})"

    def __setattr__(self, name: str, _value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} can't be changed")
