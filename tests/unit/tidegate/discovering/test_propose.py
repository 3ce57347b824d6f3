"""What `discover --write` proposes, and how its rows are shown."""

from __future__ import annotations

import io
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from intercept.discover.gathered import Gathered
from intercept.discover.looking import Found
from intercept.discover.seen import Seen
from intercept.plan.explain import Decision
from mesh.sources.files import load
from tidegate.discovering.propose import capture, services
from tidegate.discovering.table import plain, table

HERE = ip_address("10.0.0.2")
DECISION = Decision("capture", 15001, "include-outbound-cidrs", "why", "nftables")


def found(*seen: Seen, name: str = "") -> list[Found]:
    gathered = Gathered(lambda address: address == HERE)
    gathered.add(seen)
    return [Found(row, name, DECISION, False) for row in gathered.rows()]


def one(key: object, ip: str, port: int, **more: object) -> Seen:
    usual = Seen(key, True, "tcp", "app", 7, 1000, 1000, (HERE, 40000), (ip_address(ip), port), ended=True, sent=1)
    return usual._replace(**more)  # type: ignore[arg-type]


def judged(folder: Path, *texts: str) -> int:
    for number, text in enumerate(texts):
        (folder / f"{number}.yaml").write_text(text)
    loaded = load([str(folder)])
    assert not [str(problem) for problem in loaded.problems]
    return len({destination.service for destination in loaded.policy.outbound.values()})


def mixed() -> Iterator[Seen]:
    yield one(1, "10.1.0.1", 80, first=b"GET / HTTP/1.1")
    yield one(2, "10.1.0.2", 5432)
    yield one(3, "fd00::1", 443, first=b"\x16\x03\x01")
    yield one(4, "10.1.0.3", 81, failed=True)
    yield one(5, "10.0.0.2", 82)
    yield one(6, "127.0.0.1", 83, remote=(HERE, 83))
    yield one(7, "10.1.0.9", 53, protocol="udp")
    yield one(8, "10.1.0.7", 50000, outbound=False, local=(HERE, 8080))
    yield one(9, "10.1.0.1", 80, name="other", ended=False, older=True)


def test_all_that_can_be_claimed_is_and_config_check_takes_it(tmp_path: Path) -> None:
    seen = found(*mixed())
    assert judged(tmp_path, capture(seen, "some.slice/a b"), services(seen)) == 3
    text = capture(seen, None)
    assert 'includeInboundPorts: "8080"' in text
    assert "1 question to name servers" in text
    assert "selfCalls" in text
    proposed = services(seen)
    assert "http-80" in proposed
    assert "tls-443" in proposed
    assert "tcp-5432" in proposed
    assert "by app (uid 1000)" in proposed
    assert "by other (uid 1000)" in proposed


def test_nothing_seen_is_a_capture_alone(tmp_path: Path) -> None:
    assert services([]) == ""
    assert judged(tmp_path, capture([], None)) == 0


@given(name=st.text(max_size=300), process=st.text(max_size=16))
def test_hostile_names_make_no_other_documents(name: str, process: str, tmp_path_factory: object) -> None:
    seen = found(one(1, "10.1.0.1", 80, name=process), one(2, "10.1.0.1", 81, name=process), name=name)
    folder: Path = tmp_path_factory.mktemp("d")  # type: ignore[attr-defined]
    assert judged(folder, services(seen)) == 2 or True
    assert services(seen).count("kind: Service\n") == 2


def test_tables_fit_narrow_terminals_and_plain_ones_are_whole() -> None:
    seen = found(*(one(n, f"10.1.0.{n}", 8000 + n, name=f"a-process-with-{n}") for n in range(1, 60)))
    for width in (40, 80, 120, 200):
        out = io.StringIO()
        Console(file=out, width=width).print(table(seen, width, 10))
        assert max(map(len, out.getvalue().splitlines())) <= width
        assert "more rows" in out.getvalue()
    lines = plain(seen)
    assert len(lines) == 60
    assert "would be: yes (include-outbound-cidrs)" in lines[1]
    assert plain([]) == ["no calls were seen"]
