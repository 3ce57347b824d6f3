"""`tidegate support` with secrets planted wherever traffic and configuration can hold one."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.parsed.routes_rig import SERVICES, curl, to
from tests.netns.proxy.config_rig import dump, proxy_with, write
from tests.netns.proxy.proxy_rig import ROOT, until
from tests.unit.mesh.support import http_route, traffic_policy

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]

PLANTED = "hunter2planted"
RULES = ", ".join(
    (
        f"{{matches: [{{path: {{type: PathPrefix, value: /in}}, headers: [{{name: x-key, value: {PLANTED}}}],"
        f" queryParams: [{{name: q, value: {PLANTED}}}]}}], " + to("v2") + "}",
        "{matches: [{path: {type: PathPrefix, value: /}}], filters: [{type: RequestHeaderModifier,"
        f" requestHeaderModifier: {{set: [{{name: authorization, value: {PLANTED}}}]}}}},"
        f" {{type: ResponseHeaderModifier, responseHeaderModifier: {{add: [{{name: x-more, value: {PLANTED}}}]}}}}], "
        + to("v1")
        + "}",
    )
)
CHECKS = (
    f"healthChecks: [{{http: {{path: '/healthz?key={PLANTED}', headers: [{{name: x-token, value: {PLANTED}}}]}},"
    " interval: 60s}]"
)
ALL = SERVICES + http_route(RULES) + traffic_policy("v1", CHECKS)


def files(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        found = {}
        for member in archive:
            assert member.isfile()
            assert ".." not in member.name
            content = archive.extractfile(member)
            assert content is not None
            found[member.name.partition("/")[2]] = content.read()
        return found


def test_no_secret_is_in_the_archive(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, ALL) as proxy:
        body = file.with_name("body")
        body.write_text(PLANTED)
        for path in ("/in", "/out"):
            curl(lab, f"{path}/x?q={PLANTED}&token={PLANTED}", "-H", f"x-key: {PLANTED}", "-H", f"cookie: id={PLANTED}",
                 "-u", f"user:{PLANTED}", "--data-binary", f"@{body}")  # fmt: skip
        until(lambda: len(json.loads(proxy.request("/requests")[1])) == 2, "two requests")
        write(file, ALL + f"\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: x}}\nspec: {{type: {PLANTED}}}\n")
        until(lambda: dump(proxy)["refused"], "the refusal")
        assert PLANTED in json.dumps(dump(proxy)), "the proxy itself does show it, to this host"
        out = file.with_name("support.tar.gz")
        ran = lab.tidegate("support", "-o", str(out), "--wait", "0", "--config", str(file))
        assert str(out) in ran.ok().out
        assert PLANTED not in ran.out + ran.err
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    found = files(out.read_bytes())
    assert not [name for name, content in found.items() if PLANTED.encode() in content]
    assert {"status.json", "about.json", "manifest.json", "proxies/here/metrics.txt"} <= found.keys()
    requests = json.loads(found["proxies/here/requests.json"])
    assert sorted(one["path"] for one in requests) == ["/in/x", "/out/x"]
    configuration = json.loads(found["proxies/here/config_dump.json"])["configuration"]
    assert configuration["refused"]["errors"]
    (web,) = configuration["destinations"]["outbound"]
    assert web["http_rules"][-1]["filters"]["request"]["set"] == [["authorization", "[redacted]"]]
    assert b"istio_requests_total" in found["proxies/here/metrics.txt"]
    assert "config/documents.json" in json.loads(found["manifest.json"])["missing"], "they are not right any more"


def test_nothing_runs_and_nothing_may_be_asked(lab: Lab, tmp_path: Path) -> None:
    """A plain user on a host without a proxy gets what there is, and hears what is missing."""
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents:
        if folder.stat().st_uid == 0 and folder not in (Path("/"), Path("/tmp")):
            folder.chmod(folder.stat().st_mode | 0o755)
    out = tmp_path / "mine.tar.gz"
    argv = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", sys.executable, "-P", "-m", "tidegate"]
    process = lab.app.popen(
        [*argv, "support", "-o", str(out), "--wait", "5"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "missing: proxies/here/*: no proxy answers at 127.0.0.1:15000" in err
    manifest = json.loads(files(out.read_bytes())["manifest.json"])
    assert "about.json" in manifest["pieces"]
    assert all(manifest["missing"].values())


def test_it_may_go_to_standard_output(lab: Lab) -> None:
    argv = [sys.executable, "-P", "-m", "tidegate", "support", "-o", "-", "--wait", "0"]
    process = subprocess.run(argv, capture_output=True, cwd=ROOT, check=True, timeout=60)
    assert "about.json" in files(process.stdout)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("-o", "/nosuch/folder/x"), "--output"),
        (("-o", "/"), "--output"),
        (("--wait", "x"), "--wait"),
        (("--enrolment", "nosuch"), "--enrolment"),
        (("--all", "--run", "1"), "--all"),
    ],
)
def test_bad_input_is_named(lab: Lab, words: tuple[str, ...], named: str) -> None:
    assert named in lab.tidegate("support", *words).ended(2).err
