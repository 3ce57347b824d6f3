"""Flags to an intent: the contract's defaults, and values of the wrong kind."""

from __future__ import annotations

from typing import Any

import pytest

from intercept.errors import BadInput
from intercept.intent.from_flags import intent_from_flags
from intercept.intent.intent import Exempt, Inbound, Intent, Listeners, Outbound


def test_the_contracts_defaults() -> None:
    made = intent_from_flags({})
    assert made == Intent()
    assert made.listeners == Listeners(outbound=15001, inbound=15006, dns=15053, telemetry=15020)
    assert (str(made.mode), str(made.dns), str(made.ipv6)) == ("auto", "off", "auto")
    assert (str(made.self_calls), str(made.when_down)) == ("proxy", "closed")
    assert (made.tproxy_mark, made.tproxy_table, made.drop_invalid, made.inbound_explicit) == (1337, 133, False, False)
    assert [str(one) for one in (*made.exempt.uids, *made.exempt.gids)] == ["1337", "1337"]
    assert (made.exempt.mark, made.cgroup) == (None, None)
    assert (made.outbound, made.inbound, made.exempt) == (Outbound(), Inbound(), Exempt())


def test_a_flag_that_is_none_is_not_given() -> None:
    assert (
        intent_from_flags({"mode": None, "cgroup": None, "proxy-mark": None, "exclude-outbound-for": None}) == Intent()
    )


@pytest.mark.parametrize("name", ["--drop-invalid", "drop-invalid", "drop_invalid"])
def test_names_may_be_written_three_ways(name: str) -> None:
    assert intent_from_flags({name: True}).drop_invalid is True


def test_numbers_may_be_numbers() -> None:
    assert intent_from_flags({"outbound-port": 16001}).listeners.outbound == 16001


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("outbound-port", True),
        ("mode", ("nftables",)),
        ("drop-invalid", "yes"),
        ("drop-invalid", 1),
        ("exclude-outbound-for", True),
        ("exclude-outbound-for", 7),
    ],
)
def test_a_value_of_the_wrong_kind_is_a_mistake_of_the_caller(flag: str, value: Any) -> None:
    with pytest.raises(TypeError, match=flag):
        intent_from_flags({flag: value})


def test_a_key_that_is_no_flag_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(KeyError, match="not a flag of an intent: colour"):
        intent_from_flags({"colour": "blue"})


def test_excluding_everything_is_said_another_way() -> None:
    with pytest.raises(BadInput, match="--include-outbound-cidrs ''"):
        intent_from_flags({"exclude-outbound-cidrs": "10.0.0.0/8, *"})


@pytest.mark.parametrize(("ports", "explicit"), [(None, False), ("", False), (" , ", False), ("80", True), ("*", True)])
def test_whether_inbound_was_asked_for_is_remembered(ports: str | None, explicit: bool) -> None:
    assert intent_from_flags({"include-inbound-ports": ports}).inbound_explicit is explicit


def test_two_listeners_have_two_ports() -> None:
    with pytest.raises(BadInput, match=r"--dns-port.*the outbound listener's") as refused:
        intent_from_flags({"dns-port": "15001"})
    assert "15001" in str(refused.value)


def test_one_exclusion_may_stand_without_a_list_and_twice_counts_once() -> None:
    one = intent_from_flags({"exclude-outbound-for": "tcp:5432:7"}).outbound.exclude_for
    assert one == intent_from_flags({"exclude-outbound-for": ["tcp:5432:7", "tcp:5432:7"]}).outbound.exclude_for
    assert len(one) == 1


def test_what_is_given_is_what_is_meant() -> None:
    made = intent_from_flags(
        {"proxy-mark": "0x10", "cgroup": "/c/shop", "include-outbound-gids": "*"}, cgroup_mount="/c"
    )
    assert (made.exempt.mark, made.cgroup) == (16, "shop")
    assert made.outbound.include_gids is None
