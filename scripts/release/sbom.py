"""The bill of materials, CycloneDX 1.5: what is inside the package, by hash, and what it asks the distribution for."""

import hashlib
import json
import re
import uuid
from datetime import UTC, datetime
from email.parser import Parser
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from scripts.release.suites import Suite, version

_OURS = uuid.UUID("6d1d7a0e-5f0c-4a3f-9a8e-3c1f7c1d2b55")
"""Any constant: serial numbers are derived from it and from the content."""


def text(suite: Suite, wheels: list[Path], dated: int) -> str:
    """Of one package. The same content gives the same text."""
    inside = [_bundled(wheel) for wheel in wheels]
    asked = [_asked(suite, line) for line in suite.depends]
    own = f"pkg:pypi/tidegate@{version()}"
    made: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_OURS, json.dumps([suite.name, version(), inside, asked]))}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(dated, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": "tidegate",
                "version": version(),
                "purl": own,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
        },
        "components": [*inside, *asked],
        "dependencies": [{"ref": own, "dependsOn": [one["bom-ref"] for one in (*inside, *asked)]}],
    }
    return json.dumps(made, indent=1, ensure_ascii=True) + "\n"


def _bundled(wheel: Path) -> dict[str, Any]:
    with ZipFile(wheel) as archive:
        (facts,) = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
        told = Parser().parsestr(archive.read(facts).decode("utf-8"))
    name = re.sub(r"[-_.]+", "-", told["Name"]).lower()
    purl = f"pkg:pypi/{name}@{told['Version']}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": told["Name"],
        "version": told["Version"],
        "purl": purl,
        "scope": "required",
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}],
        "properties": [{"name": "tidegate:file", "value": wheel.name}],
    }


def _asked(suite: Suite, line: str) -> dict[str, Any]:
    """The distribution chooses the version, within the bounds that the property tells."""
    name = line.partition(" ")[0]
    maker = "ubuntu" if suite.tag.startswith("ubuntu") else "debian"
    bound = line.partition(" ")[2].strip("()").replace(" ", "-").replace("<", "lt").replace(">", "gt")
    made: dict[str, Any] = {
        "type": "library",
        "bom-ref": f"{suite.name}:{name}:{bound}",
        "name": name,
        "purl": f"pkg:deb/{maker}/{name}?distro={suite.name}",
        "scope": "required",
        "properties": [{"name": "tidegate:depends", "value": line}],
    }
    return made
