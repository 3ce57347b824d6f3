"""What of a generation is taken out, and what of the other one with it."""

from intercept.backends.iptables.generation import Table


def test_only_the_first_jump_of_each_chain_stays() -> None:
    found = Table()
    found.jumps = [(chain, position, None) for chain, position in (("OUTPUT", 1), ("PREROUTING", 1), ("OUTPUT", 3))]  # type: ignore[misc]
    assert found.repeated() == [("OUTPUT", 3)]
