"""TrafficPolicy's fields for requests: read, judged by file and line, and named as long as they are not obeyed."""

import pytest

from mesh.compile.in_force import FIELDS_NOT_IN_FORCE
from mesh.yaml.problems import ConfigError
from tests.unit.mesh.support import endpoints, policy_of, service, traffic_policy

WEB = service("web", "10.0.0.1") + endpoints("web", "10.1.0.1")
FIELDS = {
    "timeouts": "{request: 5s, headers: 60s, idle: 5m}",
    "deadline": "{header: x-deadline-ms}",
    "retries": "{attempts: 2, perTryTimeout: 1s, retryOn: [gateway-error, connect-failure, reset, '503'],"
    " backoff: {base: 25ms, max: 250ms}, budget: {percent: 20, minPerSecond: 3}, bufferBytes: 65536}",
    "hedging": "{quantile: 0.9, budgetPercent: 5, minDelay: 1ms}",
    "rateLimit": "{requestsPerSecond: 50, burst: 20, perHeader: x-caller}",
    "shedding": "{dropPercent: 10, perHeader: x-caller}",
}


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_what_the_contract_shows_is_accepted_and_named(name: str) -> None:
    _, warnings = policy_of(WEB + traffic_policy("web", f"{name}: {FIELDS[name]}"))
    parts = {"timeouts": ("timeouts.headers", "timeouts.idle")}.get(name, (name,))
    named = [f"{one} is not obeyed in this version" for one in parts if one in FIELDS_NOT_IN_FORCE]
    assert [line.partition(": ")[2].rpartition(": ")[2] for line in warnings] == named


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("retries: {perTryTimeout: 6s}, timeouts: {request: 5s}", "perTryTimeout: '6s' is not valid: at most"),
        ("retries: {budget: {percent: 101}}", "percent: 101 is not valid: a number, 0 to 100"),
        ("retries: {retryOn: [often]}", "retryOn: 'often' is not valid"),
        ("retries: {retryOn: ['5033']}", "retryOn: '5033' is not valid"),
        ("retries: {backoff: {base: 1s}}", "base: '1s' is not valid: at most max, 250ms"),
        ("retries: {attempts: -1}", "attempts: -1 is not valid"),
        ("hedging: {quantile: 1}", "quantile: 1 is not valid"),
        ("hedging: {minDelay: soon}", "minDelay: 'soon' is not valid: a duration"),
        ("rateLimit: {burst: 0}", "burst: '0' is not valid"),
        ("shedding: {dropPercent: 110}", "dropPercent: 110 is not valid"),
        ("deadline: {header: 'a b'}", "header: 'a b' is not valid: an HTTP header name"),
        ("timeouts: {total: 5s}", "total: there is no such field; there are: headers, idle, request"),
    ],
)
def test_impossible_values_are_told_with_their_place(spec: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        policy_of(traffic_policy("web", spec))
    (line,) = [str(one) for one in refused.value.problems if "is not here" not in one.message]
    assert line.startswith("f.yaml:6: ")
    assert told in line.replace("'101'", "101").replace("'110'", "110").replace("'-1'", "-1")
