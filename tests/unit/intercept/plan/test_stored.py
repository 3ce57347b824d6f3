"""An intent survives being written down, and equal intents are written equally."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intercept.errors import CaptureError
from intercept.host.facts import HostFacts
from intercept.intent.from_flags import intent_from_flags
from intercept.intent.intent import Mode
from intercept.plan.build import build
from intercept.plan.stored import Unreadable, as_flags, document_of, pack, read_document, unpack
from tests.unit.intercept import strategies

HOST = HostFacts(resolvers=("10.0.0.53", "fd00::53"))


@given(strategies.flags())
def test_an_intent_is_the_flags_that_make_it(flags: dict[str, Any]) -> None:
    intent = intent_from_flags(flags, cgroup_mount="/sys/fs/cgroup")
    again = intent_from_flags(as_flags(intent), cgroup_mount="/sys/fs/cgroup")
    assert again._replace(inbound_explicit=intent.inbound_explicit) == intent


@given(strategies.flags(), st.sampled_from([Mode.NFTABLES, Mode.TPROXY]))
def test_a_document_brings_everything_back(flags: dict[str, Any], mode: Mode) -> None:
    plan = build(intent_from_flags(flags, cgroup_mount="/x"), HOST, mode)
    text = document_of(plan)
    packed = pack(text)
    assert unpack(packed) == text
    assert set(packed) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="), "safe in a comment"
    read = read_document(text)
    assert (read.intent, read.mode, read.resolvers, read.families) == (plan.intent, mode, plan.resolvers, plan.families)
    assert build(read.intent, HOST._replace(resolvers=read.resolvers), read.mode) == plan


@given(st.text(max_size=60) | st.dictionaries(st.text(max_size=8), st.integers(), max_size=3).map(str))
def test_what_is_no_document_is_said_to_be_none(text: str) -> None:
    with pytest.raises(Unreadable):
        read_document(text)


def test_damage_is_noticed() -> None:
    packed = pack("x" * 500)
    assert unpack(packed[:-8]) is None
    assert unpack("not base64!") is None


def test_another_version_is_not_guessed_at() -> None:
    plan = build(intent_from_flags({}), HOST, Mode.NFTABLES)
    with pytest.raises(CaptureError, match="version 2"):
        read_document(document_of(plan).replace('"version":1', '"version":2'))
