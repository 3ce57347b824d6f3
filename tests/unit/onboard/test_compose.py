"""Compose files: a proxy and an init service join each service's network, and leave the file as it was."""

import io
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from onboard.compose.inject import inject, is_compose, uninject
from onboard.compose.services import Options
from onboard.text.nodes import Source
from onboard.text.problems import ManifestError

SHOP = """\
# The shop.
services:

  # its front
  web:
    image: nginx:1
    ports: ["8080:80"]
    labels:
      tidegate.dev/exclude-outbound-ports: "3306"
  db:
    image: mariadb:10
    labels: {tidegate.dev/inject: "false"}
volumes: {data: {}}
"""


def injected(text: str, **flags: str) -> str:
    given = {f"--{name.replace('_', '-')}": value for name, value in flags.items()}
    return inject(Source("c.yaml", text), given, Options("tidegate:1", "./mesh")).text


def services(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(io.StringIO(text))["services"]


@pytest.mark.parametrize(
    "text",
    [SHOP, SHOP.replace("\n", "\r\n"), "services: {web: {image: a}}", '{"services": {"web": {"image": "a"}}}\n'],
    ids=["block", "windows", "flow", "json"],
)
def test_a_file_comes_back_byte_for_byte(text: str) -> None:
    after = injected(text)
    assert {"web-tidegate-init", "web-tidegate"} <= set(services(after))
    assert injected(after) == after
    assert uninject(Source("c.yaml", after)).text == text


def test_the_two_services_live_in_the_service_s_network_with_the_rights_they_need() -> None:
    found = services(injected(SHOP))
    init, proxy = found["web-tidegate-init"], found["web-tidegate"]
    assert init["network_mode"] == proxy["network_mode"] == "service:web"
    assert init["command"] == ["init", "--exclude-outbound-ports=3306"]
    assert init["cap_add"] == ["NET_ADMIN", "NET_RAW"]
    assert proxy["command"] == ["proxy", "--dns-port=off", "--config=/etc/tidegate"]
    assert proxy["volumes"] == ["./mesh:/etc/tidegate:ro"]
    assert proxy["user"] == "1337:1337"
    assert proxy["cap_drop"] == ["ALL"]
    assert "cap_add" not in proxy
    assert proxy["depends_on"] == {"web-tidegate-init": {"condition": "service_completed_successfully"}}
    assert "db-tidegate" not in found


@pytest.mark.parametrize(
    "more",
    ["network_mode: host", "network_mode: 'service:x'", "scale: 3", "deploy: {replicas: 2}"],
)
def test_a_service_without_a_network_of_its_own_is_left_and_named(more: str) -> None:
    text = f"services:\n  web:\n    image: a\n    {more}\n"
    changed = inject(Source("c.yaml", text), {}, Options("t:1"))
    assert changed.text == text
    (note,) = changed.notes
    assert note.startswith("c.yaml:2: service web is left as it is: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("services: []\n", "mapping `services`"),
        ("services: {web: }\n", "a service is a mapping"),
        ("services: {web: {image: a}, web-tidegate: {image: b}}\n", "did not make it"),
        ("services:\n  web:\n    labels: ['tidegate.dev/dns=all']\n", "write labels as a mapping"),
        ("services:\n  web:\n    labels: {tidegate.dev/dns: 'some'}\n", "is not valid"),
    ],
)
def test_what_can_not_be_changed_is_refused(text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        injected(text)


def test_a_manifest_is_no_compose_file() -> None:
    assert is_compose(Source("c.yaml", SHOP))
    assert not is_compose(Source("c.yaml", "kind: X\nservices: {}\n"))
    assert not is_compose(Source("c.yaml", ""))


def test_the_example_goes_through_and_back() -> None:
    example = Path(__file__).resolve().parents[3] / "deploy/compose/shop.yaml"
    before = example.read_text(encoding="utf-8")
    cases: list[dict[str, Any]] = [{}, {"--mode": "ebpf"}]
    for flags in cases:
        after = inject(Source("shop.yaml", before), flags, Options("tidegate:1")).text
        made = services(after)
        assert set(made) == {"shop", "shop-tidegate-init", "shop-tidegate"}
        assert "--exclude-outbound-ports=3306" in made["shop-tidegate-init"]["command"]
        assert ("volumes" in made["shop-tidegate-init"]) == ("--mode" in flags)
        assert uninject(Source("shop.yaml", after)).text == before
