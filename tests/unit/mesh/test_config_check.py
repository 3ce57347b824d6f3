"""`tidegate config check`: exit codes, messages, JSON; and that a command without configuration does not pay for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.unit.mesh.support import SERVICE, SLICE, http_route
from tests.unit.mesh.test_documents import GOLDEN
from tidegate.commands.config import check


def run(*argv: str) -> tuple[Result, int]:
    result = CliRunner().invoke(check, argv, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result, int(result.return_value)


def test_right_documents_exit_0(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(SERVICE + "---" + SLICE)
    result, code = run(str(tmp_path))
    assert (code, result.stderr) == (0, "")
    assert result.stdout == "2 documents are right; 1 Services are claimed\n"


def test_unknown_kinds_are_named_and_skipped() -> None:
    result, code = run(str(GOLDEN / "kubectl-get.yaml"))
    assert code == 0
    assert result.stderr.endswith("'ConfigMap' of 'v1' kube-root-ca.crt is not a kind we know and is skipped\n")
    assert "1 of other kinds skipped" in result.stdout


def test_every_mistake_exits_2_with_its_place(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(SERVICE.replace("port: 80", "port: 80x").replace("10.0.0.1", "10.0.0"))
    second.write_text("a: [\n")
    result, code = run(str(first), str(second), str(tmp_path / "c.yaml"))
    assert code == 2
    lines = result.stderr.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{first}:5", f"{first}:5", f"{second}:2", f"{tmp_path}/c.yaml"]
    assert result.stdout == ""


@pytest.mark.parametrize("good", [True, False])
def test_json(tmp_path: Path, good: bool) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(SERVICE if good else SERVICE.replace("port: 80", "port: 0"))
    result, code = run("--json", str(file))
    found = json.loads(result.stdout)
    assert (code, found["ok"], len(found["problems"])) == (0 if good else 2, good, 1)
    assert found["problems"][0]["severity"] == ("warning" if good else "error")
    assert (found["problems"][0]["file"], found["problems"][0]["line"]) == (str(file), 2 if good else 5)


def test_no_command_loads_yaml_before_it_has_any() -> None:
    script = (
        "import sys, tidegate.cli, tidegate.commands.init, tidegate.commands.run, tidegate.commands.proxy\n"
        "import proxy.serve\n"
        "print([name for name in ('yaml', 'msgspec', 'mesh') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_subset_that_no_policy_has_exits_2(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    route = http_route("{backendRefs: [{group: tidegate.dev, kind: Subset, name: v1.web, port: 80}]}")
    file.write_text(SERVICE + "---" + SLICE + route)
    result, code = run(str(file))
    assert code == 2
    line = route.count("\n", 0, route.index("spec")) + (SERVICE + "---" + SLICE).count("\n") + 1
    assert f"{file}:{line}: HTTPRoute shop/route: backendRefs: 'v1.web' is not valid" in result.stderr
