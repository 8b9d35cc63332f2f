"""A release names its own images, by digest, in every manifest and in the graph."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.programs import program
from toolwear.common.fingerprint import ROOT

REGISTRY = "registry.example/mill"


class Checkout:
    """A copy of what a release changes and reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in (
            "manifests",
            "components",
            "pipelines",
            "serving",
            "requirements",
            "tools",
            "toolwear",
        ):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        if shutil.which("kubectl") is None:
            program("kustomize")

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(self.folder)} | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    def release(self, *arguments: str) -> str:
        done = self.run("tools.release", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def write(self, digit: str) -> dict[str, str]:
        released = {
            name: f"{REGISTRY}/{name.rpartition('/')[2]}@sha256:{digit * 64}"
            for name in self.release("names").split()
        }
        lines = [f"{name} {image}\n" for name, image in released.items()]
        (self.folder / "images.txt").write_text("".join(lines))
        return released


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


def test_the_graph_and_the_manifests_name_what_was_pushed_and_nothing_else(
    checkout: Checkout,
) -> None:
    released = checkout.write("a")
    assert {"toolwear/automl", "toolwear/pipeline", "toolwear/serving"} <= released.keys()
    # Before: neither names the release's images.
    compile_ = ["toolwear.cli", "compile", "graph.yaml"]
    assert checkout.run(*compile_).returncode == 0
    check = ["tools.release", "check", "images.txt", "graph.yaml"]
    done = checkout.run(*check)
    assert done.returncode == 2
    assert "toolwear/pipeline:dev" in done.stderr
    # Only the graph.
    variables = dict(
        line.split("=", 1) for line in checkout.release("environment", "images.txt").split()
    )
    assert variables["TOOLWEAR_AUTOML_IMAGE"] == released["toolwear/automl"]
    assert checkout.run(*compile_, **variables).returncode == 0
    done = checkout.run(*check)
    assert done.returncode == 2
    assert "the graph" not in done.stderr
    assert "kind: Deployment toolwear/mlflow names toolwear/pipeline:dev" in done.stderr
    # Both.
    checkout.release("pin", "images.txt")
    pins = (checkout.folder / "manifests" / "images" / "kustomization.yaml").read_text()
    assert pins.startswith("# Every image of the cluster")
    assert "kind, staging, production" in checkout.release("check", "images.txt", "graph.yaml")
    # An image of others by its tag alone is no release.
    path = checkout.folder / "manifests" / "images" / "kustomization.yaml"
    content = yaml.safe_load(pins)
    for entry in content["images"]:
        if entry["name"] == "redis":
            del entry["digest"]
    path.write_text(yaml.safe_dump(content))
    done = checkout.run(*check)
    assert done.returncode == 2
    assert "production: StatefulSet toolwear/redis names docker.io/library/redis:" in done.stderr
    assert "without a digest" in done.stderr
    path.write_text(pins)
    # The next release is not what this one has pinned.
    checkout.write("b")
    done = checkout.run(*check)
    assert done.returncode == 2
    assert f"{REGISTRY}/pipeline@sha256:{'a' * 64}" in done.stderr


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("toolwear/pipeline registry.example/pipeline:latest\n", "line 1: write NAME"),
        (f"toolwear/pipeline {REGISTRY}/pipeline@sha256:{'a' * 64}\n", "lacks toolwear/automl"),
    ],
)
def test_a_release_without_digests_or_with_an_image_missing_is_refused(
    checkout: Checkout, text: str, sentence: str
) -> None:
    (checkout.folder / "images.txt").write_text(text)
    done = checkout.run("tools.release", "pin", "images.txt")
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_release_that_is_not_there_is_refused(checkout: Checkout) -> None:
    done = checkout.run("tools.release", "environment", "nowhere.txt")
    assert done.returncode == 2
    assert "nowhere.txt cannot be read" in done.stderr
