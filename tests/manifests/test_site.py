"""What a site fills in stands where it has to."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.programs import renders
from tools.rendered import ROOT, of_kind, render


@pytest.mark.parametrize("overlay", ["staging", "production"])
def test_a_site_may_have_another_gateway(overlay: str, tmp_path: Path) -> None:
    renders()
    shutil.copytree(ROOT, tmp_path / "manifests")
    folder = tmp_path / "manifests" / "overlays" / overlay
    settings = (folder / "site.env").read_text()
    for ours, theirs in (("=envoy\n", "=nginx\n"), ("=envoy-gateway-system\n", "=nginx-gateway\n")):
        assert settings.count(ours) == 1
        settings = settings.replace(ours, theirs)
    (folder / "site.env").write_text(settings)
    objects = render(folder)
    assert [item["spec"]["gatewayClassName"] for item in of_kind(objects, "Gateway")] == ["nginx"]
    let_in = {
        policy["metadata"]["name"]: entry["namespaceSelector"]["matchLabels"]
        for policy in of_kind(objects, "NetworkPolicy")
        for rule in policy["spec"].get("ingress", [])
        for entry in rule.get("from", [])
        if "nginx-gateway" in str(entry)
    }
    name = {"kubernetes.io/metadata.name": "nginx-gateway"}
    assert let_in == {"transformer": name, "explainer": name}
    assert "envoy-gateway-system" not in str(of_kind(objects, "NetworkPolicy"))
