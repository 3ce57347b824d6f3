"""The texts of `tidegate proxy`'s flags as values. What is wrong names the flag, the token and what is allowed."""

from typing import Any, NoReturn

import click


def _refuse(flag: str, token: object, allowed: str) -> NoReturn:
    raise click.UsageError(f"{flag}: {str(token)!r} is not valid: allowed is {allowed}")


def number(low: int, high: int, what: str) -> Any:
    """A click callback for whole numbers from low to high; click's own types don't name the flag and what is allowed
    in one line, which the contract asks for."""

    def parse(_ctx: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            _refuse(parameter.opts[0], text, f"{what}, {low} to {high}")
        return int(text)

    return parse


_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def size(_ctx: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    unit = text[-1:] if text[-1:] in ("K", "M", "G") else ""
    digits = text.removesuffix(unit)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 15 and int(digits) >= 1):
        _refuse(parameter.opts[0], text, "a number of bytes, 1 or more, as 65536, 64K, 10M or 1G")
    return int(digits) * _UNITS[unit]


def seconds(low: float) -> Any:
    def parse(_ctx: click.Context, parameter: click.Parameter, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= 31_536_000:
            _refuse(parameter.opts[0], text, f"a number of seconds, {low:g} to 31536000")
        return value

    return parse


def one_of(*allowed: str) -> Any:
    def parse(_ctx: click.Context, parameter: click.Parameter, text: str) -> str:
        if text not in allowed:
            _refuse(parameter.opts[0], text, " or ".join(allowed))
        return text

    return parse


PORT = number(0, 65535, "a port (0: any free one)")
ID = number(0, 4294967294, "a numeric id")


def port_or_off(context: click.Context, parameter: click.Parameter, text: str) -> int | None:
    return None if text == "off" else int(PORT(context, parameter, text))


def file(flag: str, path: str | None) -> Any:
    from pathlib import Path

    if path is None:
        return None
    found = Path(path).absolute()
    if not found.is_file():
        _refuse(flag, path, "a file that is there")
    return found


def endpoint(flag: str, text: str, *, loopback_only: bool) -> Any:
    from proxy.core.addresses import is_loopback, parse

    if text.strip() == "off":
        return None
    try:
        address = parse(text)
    except ValueError as wrong:
        _refuse(flag, text, f"ADDR:PORT or off ({wrong})")
    if loopback_only and not is_loopback(address.ip):
        _refuse(flag, text, "a loopback address such as 127.0.0.1:15000, or off: whoever reaches it controls the proxy")
    return address


def explicit_addresses(text: str | None) -> tuple[str, ...]:
    from ipaddress import ip_address

    from proxy.settings import LOOPBACK

    if text is None:
        return LOOPBACK
    found: dict[str, None] = {}
    allowed = "IP addresses of this host, each once, comma separated; 0.0.0.0 and :: are all of a family"
    for token in filter(None, (item.strip() for item in text.split(","))):
        try:
            ip = str(ip_address(token))
        except ValueError:
            _refuse("--explicit-listen", token, allowed)
        if ip in found or "%" in ip:
            _refuse("--explicit-listen", token, allowed)
        found[ip] = None
    if not found:
        _refuse("--explicit-listen", text, allowed)
    return tuple(found)


def as_client(text: str, *, otherwise: bool) -> Any:
    """otherwise: from where the workload is called is said by another flag, which wins over `auto`."""
    from proxy.settings import AsClient

    if text == "auto":
        from intercept.backends.tproxy import policy_routing

        return AsClient.WHERE_POSSIBLE if not otherwise and policy_routing.is_there() else AsClient.OFF
    return AsClient.REQUIRED if text == "on" else AsClient.OFF


def announced(text: str) -> dict[int, int]:
    found: dict[int, int] = {}
    for token in filter(None, (item.strip() for item in text.split(","))):
        port, slash, version = token.partition("/")
        known = {"": 2, "v1": 1, "v2": 2}
        valid = port.isascii() and port.isdigit() and 1 <= int(port) <= 65535
        if not valid or version not in known or (slash and not version) or int(port) in found:
            allowed = "ports of the workload, each once, comma separated, as 5432 or 8080/v1"
            _refuse("--inbound-proxy-protocol", token, allowed)
        found[int(port)] = known[version]
    return found


def sources(text: str) -> tuple[str, ...]:
    from ipaddress import ip_address

    found: dict[int, str] = {}
    for token in filter(None, (item.strip() for item in text.split(","))):
        try:
            address = ip_address(token)
        except ValueError:
            _refuse("--inbound-source", token, "an IP address of this host, at most one a family")
        if address.version in found:
            _refuse("--inbound-source", token, "at most one address a family")
        found[address.version] = str(address)
    return tuple(found.values())
