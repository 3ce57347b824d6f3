"""What a plain (unquoted) scalar means in YAML 1.1, the version that Kubernetes speaks."""

import re

ScalarValue = str | int | float | bool | None

_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F][0-9a-fA-F_]*|0o?[0-7][0-7_]*|0b[01][01_]*)")
_FLOAT = re.compile(r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*(?=[eE]))([eE][-+]?[0-9]+)?")
_SPECIAL_FLOATS = {"inf": float("inf"), "nan": float("nan")}
NULLS = {"", "~", "null", "Null", "NULL"}
_TRUE = {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"}
_FALSE = {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"}
_MAY_BE_MORE = frozenset("~nNtTyYoOfF+-.0123456789")
"""A number, boolean or null begins with one of these characters; any other scalar is text."""


def resolved(text: str) -> ScalarValue:
    """The value of a plain scalar. Dates stay text, as they do in Kubernetes."""
    if not text:
        return None
    if text[0] not in _MAY_BE_MORE:
        return text
    if text in NULLS:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if text[0].isalpha():
        return text
    if _INT.fullmatch(text) and len(text) < 40:
        return _integer(text.replace("_", ""))
    if _FLOAT.fullmatch(text) and len(text) < 400:
        return float(text.replace("_", ""))
    special = _SPECIAL_FLOATS.get(text.lstrip("+-").lower().removeprefix("."))
    if special is not None and "." in text:
        return -special if text[0] == "-" else special
    return text


def _integer(text: str) -> int:
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-")
    if digits[:2] in ("0x", "0o", "0b"):
        return sign * int(digits, 0)
    octal = len(digits) > 1 and digits[0] == "0"
    return sign * int(digits, 8 if octal else 10)
