"""Whether traces are exported, and which share of those that begin here: OpenTelemetry's own environment variables."""

from collections.abc import Mapping

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
SAMPLER, ARGUMENT = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
_SHARES = {"always_on": 1.0, "parentbased_always_on": 1.0, "always_off": 0.0, "parentbased_always_off": 0.0}
_RATIOS = ("traceidratio", "parentbased_traceidratio")


def exports(environment: Mapping[str, str]) -> bool:
    """Whether an endpoint is set and nothing says that no trace shall be sent."""
    return (
        any(environment.get(name) for name in ENDPOINTS)
        and environment.get("OTEL_SDK_DISABLED", "").lower() != "true"
        and environment.get("OTEL_TRACES_EXPORTER", "otlp") != "none"
    )


def share(environment: Mapping[str, str]) -> float:
    """Of the traces that begin here; the decision of a trace that came in always holds. Raises ValueError
    with the variable, the value and what is allowed."""
    sampler = environment.get(SAMPLER) or "parentbased_always_on"
    if sampler in _SHARES:
        return _SHARES[sampler]
    if sampler not in _RATIOS:
        raise ValueError(SAMPLER, sampler, f"one of {', '.join((*_SHARES, *_RATIOS))}")
    text = environment.get(ARGUMENT) or "1.0"
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise ValueError(ARGUMENT, text, "a number from 0 to 1")
    return ratio
