"""Changes at run time: fields of a patch take the place of the documents', until the next reading."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.compile.patches import read_patch
from mesh.sources.files import ConfigSource
from mesh.yaml.problems import ConfigError
from proxy.core.policy.policy import Destination, Policy, ServiceName
from proxy.core.policy.settings import RequestRate, Shedding
from proxy.feed.source import Change, PolicyRefused
from tests.unit.mesh.support import endpoints, service, traffic_policy

SHOP = ServiceName("shop", "web")
WEB = service("web", "10.0.0.1", port="port: 80, name: a}, {port: 81, name: b")
WEB += endpoints("web", "10.1.0.1", port_name="a")
WHOLE = traffic_policy("web", "shedding: {dropPercent: 1}, timeouts: {request: 5s}", name="whole")
SECTION = traffic_policy("web", "shedding: {dropPercent: 2}, rateLimit: {}", name="section", section="b")


def source(folder: Path, text: str) -> ConfigSource:
    (folder / "a.yaml").write_text(text)
    made = ConfigSource([str(folder)])
    made.load()
    return made


def at(policy: Policy, port: int = 80) -> Destination:
    return policy.outbound["10.0.0.1", port]


def change(patch: str | None, *, keep: bool = False) -> Change:
    return Change("shop", "web", patch, keep)


def test_each_field_that_is_given_replaces_that_field_whole(tmp_path: Path) -> None:
    made = source(tmp_path, WEB + WHOLE + SECTION)
    policy, _ = made.change(change("shedding: {perHeader: x-a}"))
    assert at(policy).http.shedding == at(policy, 81).http.shedding == Shedding(10.0, "x-a")
    assert (at(policy).http.timeouts.request_s, at(policy).http.rate_limit) == (5.0, None)
    assert at(policy, 81).http.rate_limit == RequestRate(50.0, 20)


@pytest.mark.parametrize("empty", ["{}", "null", '""', "[]"])
def test_an_empty_field_is_removed(tmp_path: Path, empty: str) -> None:
    made = source(tmp_path, WEB + WHOLE)
    policy, _ = made.change(change(f"shedding: {empty}"))
    assert (at(policy).http.shedding, at(policy).http.timeouts.request_s) == (None, 5.0)


def test_no_policy_need_exist_and_json_is_yaml(tmp_path: Path) -> None:
    made = source(tmp_path, WEB)
    policy, _ = made.change(change('{"deniedSources": ["10.9.0.0/16"]}'))
    assert "10.9.1.1" in at(policy).denied
    assert made.changes() == ((change('{"deniedSources": ["10.9.0.0/16"]}'), ("deniedSources",)),)


def test_the_next_change_takes_the_place_of_the_former_and_revert_takes_it_back(tmp_path: Path) -> None:
    made = source(tmp_path, WEB + WHOLE)
    before, _ = made.load()
    made.change(change("rateLimit: {burst: 5}"))
    policy, _ = made.change(change("shedding: {dropPercent: 9}"))
    assert (at(policy).http.rate_limit, at(policy).http.shedding) == (None, Shedding(9.0))
    reverted, _ = made.change(change(None))
    assert (reverted, reverted.digest, made.changes()) == (before, before.digest, ())


@pytest.mark.parametrize("keep", [True, False])
def test_a_reading_ends_changes_that_are_not_kept(tmp_path: Path, keep: bool) -> None:
    made = source(tmp_path, WEB)
    made.change(change("shedding: {dropPercent: 9}", keep=keep))
    policy, _ = made.load()
    assert at(policy).http.shedding == (Shedding(9.0) if keep else None)
    assert len(made.changes()) == keep


@pytest.mark.parametrize(
    ("patch", "told"),
    [
        ("sheding: {}", "patch:1: sheding: there is no such field; there are: "),
        ("shedding: {}\nsheding: {b: 1}", "patch:2: sheding: there is no such field"),
        ("shedding: {dropPercent: 101}", "patch:1: shedding.dropPercent: '101' is not valid"),
        ("targetRefs: [{name: x}]", "patch:1: targetRefs: is not valid here: the patch is for Service shop/web"),
        ("retries: {perTryTimeout: 6s}", "patch of shop/web:1: retries.perTryTimeout: '6s' is not valid: at most"),
        ("- 1", "patch:1: a patch is one mapping"),
        ("a: [", "patch:"),
        ("{}\n---\n{}", "patch:1: a patch is one mapping"),
    ],
)
def test_what_is_wrong_changes_nothing(tmp_path: Path, patch: str, told: str) -> None:
    made = source(tmp_path, WEB + WHOLE)
    made.change(change("rateLimit: {burst: 5}"))
    with pytest.raises(PolicyRefused) as refused:
        made.change(change(patch))
    assert any(one.startswith(told) for one in refused.value.messages), refused.value.messages
    assert [fields for _, fields in made.changes()] == [("rateLimit",)]
    policy, _ = made.change(Change("shop", "other", None))
    assert at(policy).http.rate_limit == RequestRate(50.0, 5)


def test_a_patch_is_judged_by_itself_too() -> None:
    with pytest.raises(ConfigError, match=r"patch:1: timeouts: 'x' is not valid"):
        read_patch(SHOP, "timeouts: x")
    found = read_patch(SHOP, "timeouts: {request: 1s}\nhedging: {}")
    assert found.names == ("timeouts", "hedging")
    assert dict(found.fields)["hedging"] is None


def test_a_change_is_made_to_the_documents_that_are_in_force_whatever_became_of_the_files(tmp_path: Path) -> None:
    made = source(tmp_path, WEB + WHOLE)
    (tmp_path / "a.yaml").write_text("a: [")
    with pytest.raises(PolicyRefused):
        made.load()
    policy, _ = made.change(change("rateLimit: {burst: 5}"))
    assert (at(policy).http.rate_limit, at(policy).http.shedding) == (RequestRate(50.0, 5), Shedding(1.0))
    (tmp_path / "a.yaml").unlink()
    policy, _ = made.change(change(None))
    assert (at(policy).http.rate_limit, at(policy).http.shedding) == (None, Shedding(1.0))


def test_a_defect_costs_one_change_and_no_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = source(tmp_path, WEB + WHOLE)
    with monkeypatch.context() as broken:
        broken.setattr("mesh.compile.compiler.ports_of", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            made.change(change("rateLimit: {burst: 5}"))
        with pytest.raises(PolicyRefused, match="internal error"):
            made.load()
    policy, _ = made.change(change("rateLimit: {burst: 6}"))
    assert (at(policy).http.rate_limit, at(policy).http.shedding) == (RequestRate(50.0, 6), Shedding(1.0))
