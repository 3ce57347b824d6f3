"""Files as a source of policy: read again as little as possible, and alive whatever is in them."""

import gc
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import mesh.documents
from mesh.compile import contribution
from mesh.documents import FileDocuments
from mesh.sources.files import ConfigSource
from mesh.yaml import files
from proxy.feed.source import PolicyRefused
from tests.unit.mesh.support import SERVICE, SLICE, endpoints, http_route, service, traffic_policy


def aged(file: Path, text: str) -> None:
    """Written long enough ago that its times can be trusted; another text has another size."""
    file.write_text(text)
    os.utime(file, ns=(10**18, 10**18))


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are parsed."""
    names: list[str] = []
    read_text: Callable[[str, str], FileDocuments] = mesh.documents.read_text

    def noted(file: str, text: str) -> FileDocuments:
        names.append(Path(file).name)
        return read_text(file, text)

    monkeypatch.setattr("mesh.reading.read_text", noted)
    monkeypatch.setattr(files, "_FRESH_NS", 0)
    return names


def test_a_file_that_has_not_changed_is_not_parsed_again(tmp_path: Path, parsed: list[str]) -> None:
    aged(tmp_path / "a.yaml", SERVICE)
    aged(tmp_path / "b.yaml", SLICE)
    source = ConfigSource([str(tmp_path)])
    first, _ = source.load()
    aged(tmp_path / "b.yaml", SLICE.replace("10.1.0.2", "10.1.0.33"))
    second, _ = source.load()
    assert parsed == ["a.yaml", "b.yaml", "b.yaml"]
    assert sorted(key[0] for key in second.inbound) == ["10.1.0.1", "10.1.0.33"]
    third, _ = source.load()
    assert parsed == ["a.yaml", "b.yaml", "b.yaml"]
    assert third == second != first


def test_a_file_that_has_just_changed_is_parsed_again(
    tmp_path: Path, parsed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_FRESH_NS", 10**12)
    (tmp_path / "a.yaml").write_text(SERVICE)
    source = ConfigSource([str(tmp_path)])
    source.load()
    source.load()
    assert parsed == ["a.yaml", "a.yaml"]


def test_a_known_file_that_may_not_be_read_any_more_is_opened_again(
    tmp_path: Path, parsed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    aged(tmp_path / "a.yaml", SERVICE)
    source = ConfigSource([str(tmp_path)])
    source.load()
    monkeypatch.setattr(files, "may_read", lambda _: False)
    source.load()
    assert parsed == ["a.yaml", "a.yaml"]


def test_what_is_refused_leaves_no_trace(tmp_path: Path) -> None:
    web = tmp_path / "web.yaml"
    web.write_text(SERVICE + "---" + SLICE)
    source = ConfigSource([str(tmp_path)])
    before, _ = source.load()
    web.write_text(SERVICE.replace("10.0.0.1", "10.0.0.9") + "---\nkind: [\n")
    with pytest.raises(PolicyRefused, match=r"web\.yaml:"):
        source.load()
    web.write_text(SERVICE + "---" + SLICE)
    after, _ = source.load()
    assert after == before
    assert all(after.outbound[key] is before.outbound[key] for key in before.outbound)


def test_a_defect_in_compiling_refuses_the_change_and_the_next_one_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "web.yaml").write_text(SERVICE + "---" + SLICE)
    source = ConfigSource([str(tmp_path)])
    source.load()
    with monkeypatch.context() as broken:
        broken.setattr(contribution, "protocol_of", lambda _: 1 / 0)
        (tmp_path / "new.yaml").write_text(service("new", "10.0.0.7") + endpoints("new", "10.1.7.7"))
        with pytest.raises(PolicyRefused, match="internal error: ZeroDivisionError"):
            source.load()
    policy, _ = source.load()
    assert sorted(key[0] for key in policy.outbound) == ["10.0.0.1", "10.0.0.7"]


@pytest.mark.parametrize("conditions", ["ready: false", "ready: false, serving: true, terminating: true"])
def test_endpoints_that_all_turn_unready_are_a_policy_like_any_other(tmp_path: Path, conditions: str) -> None:
    (tmp_path / "web.yaml").write_text(SERVICE)
    (tmp_path / "slice.yaml").write_text(SLICE)
    source = ConfigSource([str(tmp_path)])
    source.load()
    (tmp_path / "slice.yaml").write_text(SLICE.replace("]}", f"], conditions: {{{conditions}}}}}"))
    policy, warnings = source.load()
    cluster = policy.outbound["10.0.0.1", 80].targets[0].cluster
    assert cluster is not None
    assert (len(cluster.endpoints), warnings) == (2 if "serving" in conditions else 0, ())


def test_the_collector_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text("kind: [\n")
    for on in (True, False):
        (gc.enable if on else gc.disable)()
        try:
            with pytest.raises(PolicyRefused):
                ConfigSource([str(tmp_path)]).load()
            assert gc.isenabled() is on
        finally:
            gc.enable()


def test_a_reference_that_cannot_be_meant_is_refused_and_the_next_reading_is_taken(tmp_path: Path) -> None:
    """The mistake is found by the compiler, which goes on from what it refused."""
    wrong = http_route("{backendRefs: [{group: tidegate.dev, kind: Subset, name: v1.web, port: 80}]}")
    subsets = traffic_policy("web", "subsets: [{name: v1, labels: {version: v1}}]")
    aged(tmp_path / "a.yaml", SERVICE + "---" + SLICE)
    source = ConfigSource([str(tmp_path)])
    first, _ = source.load()
    aged(tmp_path / "b.yaml", wrong)
    with pytest.raises(PolicyRefused, match=r"b.yaml:\d+: HTTPRoute shop/route: backendRefs: 'v1.web' is not valid"):
        source.load()
    aged(tmp_path / "b.yaml", wrong + subsets)
    repaired, _ = source.load()
    assert len(repaired.outbound["10.0.0.1", 80].http_rules) == 1
    (tmp_path / "b.yaml").unlink()
    assert source.load()[0] == first
