"""What a hook leaves out must not matter to any packet."""

from hypothesis import given
from hypothesis import strategies as st

from intercept.backends.projection import terse
from intercept.intent.intent import PortRange
from intercept.plan.rules import Condition, Direct, DstOwn, DstPort, Not, Plain, Protocol, Refuse, Rule

TCP, EITHER = Protocol(("tcp",)), Protocol(("tcp", "udp"))
PORT = DstPort((PortRange(1, 9),))
ATOMS: tuple[Plain, ...] = (TCP, EITHER, DstOwn(), PORT)
CONDITIONS = st.lists(
    st.sampled_from([*ATOMS, *(Not(atom) for atom in ATOMS)]), min_size=1, max_size=3, unique=True
).map(tuple)
RULES = st.lists(st.builds(Rule, st.just("any"), CONDITIONS, st.sampled_from([Direct(), Refuse()]), st.just("")))
PACKETS = st.fixed_dictionaries(
    {"protocol": st.sampled_from(["tcp", "udp", "icmp"]), "own": st.booleans(), "port": st.booleans()}
)


def refuses(rule: Rule) -> bool:
    return isinstance(rule.verdict, Refuse)


def holds(condition: Condition, packet: dict[str, object]) -> bool:
    match condition:
        case Not(inner):
            return not holds(inner, packet)
        case Protocol(names):
            return packet["protocol"] in names
        case DstOwn():
            return bool(packet["own"])
        case _:
            return bool(packet["port"])


def is_refused(rules: list[Rule], packet: dict[str, object]) -> bool:
    for rule in rules:
        if all(holds(condition, packet) for condition in rule.conditions):
            return refuses(rule)
    return False


@given(RULES, PACKETS)
def test_a_terse_list_judges_as_the_whole_one(rules: list[Rule], packet: dict[str, object]) -> None:
    assert is_refused(terse(rules, refuses), packet) == is_refused(rules, packet)


def test_what_the_refusals_ask_for_themselves_is_not_asked_before() -> None:
    not_local = Rule("not-local", (Not(DstOwn()),), Direct(), "")
    protocol = Rule("protocol", (Not(EITHER),), Direct(), "")
    port = Rule("port", (PORT,), Direct(), "")
    own = Rule("own-listener", (TCP, DstOwn()), Refuse(), "")
    assert terse([not_local, protocol, port, own], refuses) == [port, own]
    assert terse([not_local, own, Rule("all", (TCP,), Refuse(), "")], refuses)[0] == not_local
