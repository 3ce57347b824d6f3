"""Random rules and requests: the table in C, the table in Python and asking rule by rule give the same answers."""

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from proxy.core.decide.heads import Reached
from proxy.core.policy.http import HttpRule
from tests.unit.cext.route.both import checked
from tests.unit.cext.route.evaluator import takes
from tests.unit.cext.route.strategies import RULES, heads

REACHED = st.sampled_from([Reached(80), Reached(8080), Reached(443, "https")])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(RULES, heads(), st.integers(0, 2**64 - 1), REACHED)
def test_c_and_python_decide_alike(rules: list[HttpRule], head: bytes, random: int, reached: Reached) -> None:
    assume(takes(head))
    checked(rules, head, random, reached)
