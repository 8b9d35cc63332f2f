"""Prints what is in an image as a CycloneDX 1.6 document: Debian's packages and Python's.

Runs inside the image's build stage, on the environment that is copied into the image, so that
the list is of what is there and not of what was asked for. Standard library only, Python 3.9.
"""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

DPKG_STATUS = Path("/var/lib/dpkg/status")


def python_components() -> Iterator[dict[str, Any]]:
    """Yield one component for each distribution that this interpreter sees."""
    seen = set()
    for found in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower()
        if name in seen:
            continue
        seen.add(name)
        component: dict[str, Any] = _component(name, found.version, "pypi")
        text = found.metadata.get("License-Expression")
        if text:
            component["licenses"] = [{"expression": text}]
        yield component


def debian_components(status: str) -> Iterator[dict[str, Any]]:
    """Yield one component for each installed package in the text of dpkg's status file."""
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", paragraph, flags=re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            component = _component(fields["Package"], fields["Version"], "deb/debian")
            component["purl"] += f"?arch={fields['Architecture']}"
            yield component


def _component(name: str, version: str, kind: str) -> dict[str, Any]:
    purl = f"pkg:{kind}/{name}@{version.replace('+', '%2B').replace(':', '%3A')}"
    return {"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl}


def document(image: str) -> dict[str, Any]:
    """Return the document of this interpreter's environment and this system's packages."""
    python = _component("python", platform.python_version(), "generic")
    found = [{**python, "type": "platform"}, *python_components()]
    if DPKG_STATUS.exists():
        found += debian_components(DPKG_STATUS.read_text(encoding="utf-8"))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": f"toolwear/{image}"}},
        "components": sorted(found, key=lambda part: str(part["purl"])),
    }


if __name__ == "__main__":
    json.dump(document(sys.argv[1]), sys.stdout, indent=1)
