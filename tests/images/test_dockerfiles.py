"""What the Dockerfiles, the pins and the locks promise, read from the files."""

from __future__ import annotations

import re

import pytest
import yaml

from tools.images import sbom
from tools.images.environments import (
    ENVIRONMENTS,
    FOLDER,
    REQUIREMENTS,
    Environment,
    executor_lock,
    named,
    pinned_bases,
)
from tools.images.start import USER
from toolwear.common import images
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT

each = pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda each: each.name)
_PIN = re.compile(r"^[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}$")
_LABELS = ("title", "description", "licenses", "version", "revision", "created", "base.name")


def _instructions(environment: Environment) -> list[str]:
    text = environment.dockerfile.read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if line.strip() and line[0] != "#"]


def test_every_dockerfile_has_an_environment_and_the_other_way_round() -> None:
    assert {path.name for path in FOLDER.glob("*.Dockerfile")} == {
        environment.dockerfile.name for environment in ENVIRONMENTS
    }


def test_bases_are_pinned_by_digest_and_nowhere_else() -> None:
    assert pinned_bases()
    for name, reference in pinned_bases().items():
        assert _PIN.match(reference), f"{name} is not pinned by digest"
    for environment in ENVIRONMENTS:
        assert environment.base() in pinned_bases().values()
        assert environment.base("site/python") == f"site/python:{environment.python}"
        froms = [line for line in _instructions(environment) if line.startswith("FROM ")]
        assert froms == ["FROM ${BASE} AS build", "FROM ${BASE}"]


@each
def test_final_stage_runs_as_nobody_and_installs_nothing(environment: Environment) -> None:
    lines = _instructions(environment)
    final = lines[lines.index("FROM ${BASE}") + 1 :]
    assert [line for line in final if line.startswith("USER ")] == [f"USER {USER}"]
    after = final[final.index(f"USER {USER}") + 1 :]
    assert not [line for line in after if line.startswith(("RUN ", "COPY ", "ADD "))]
    for line in lines:
        assert not line.startswith("ADD "), "ADD fetches and unpacks; COPY does not"
        assert not re.search(r"\b(apt-get|curl|wget|sudo)\b", line), line
    assert not [line for line in final if line.startswith("RUN") and "install" in line]


@each
def test_labels_tell_commit_and_base(environment: Environment) -> None:
    text = environment.dockerfile.read_text(encoding="utf-8")
    for label in _LABELS:
        assert f"org.opencontainers.image.{label}=" in text
    assert 'org.opencontainers.image.revision="${COMMIT}"' in text


def test_the_image_that_serves_has_a_health_check() -> None:
    (serving,) = named(["serving"])
    assert "HEALTHCHECK" in serving.dockerfile.read_text(encoding="utf-8")


@each
def test_locks_have_a_hash_for_every_package(environment: Environment) -> None:
    text = (REQUIREMENTS / environment.lock).read_text(encoding="utf-8")
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE | re.IGNORECASE)[1:]
    assert blocks
    for block in blocks:
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_serving_has_the_versions_of_the_main_lock_and_leaves_training_out() -> None:
    def versions(lock: str) -> dict[str, str]:
        text = (REQUIREMENTS / lock).read_text(encoding="utf-8")
        return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, flags=re.MULTILINE))

    serving, main = versions("serving.txt"), versions("main.txt")
    assert serving.items() <= main.items()
    assert not {"mlflow", "kfp", "great-expectations"} & set(serving)


def test_executor_is_the_main_locks_sdk_alone() -> None:
    lock = executor_lock()
    assert lock.startswith("kfp==")
    assert len(re.findall(r"==", lock)) == 1
    assert "--hash=sha256:" in lock


def test_cluster_names_are_those_that_are_built() -> None:
    pins = ROOT / "manifests" / "images" / "kustomization.yaml"
    text = pins.read_text(encoding="utf-8")
    cluster = {entry["name"] for entry in yaml.safe_load(text)["images"]}
    built = {reference.rsplit(":", 1)[0] for reference in (images.PIPELINE, images.SERVING)}
    assert built <= cluster
    assert {name for name in cluster if name.startswith("toolwear/")} <= {
        environment.image.rsplit(":", 1)[0] for environment in ENVIRONMENTS
    }


def test_an_unknown_image_is_told_by_name() -> None:
    with pytest.raises(ToolwearError, match=r"no image 'servng'.*serving"):
        named(["servng"])


def test_sbom_lists_debian_and_python_packages() -> None:
    status = (
        "Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3.0.17-1\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n"
    )
    debian = list(sbom.debian_components(status))
    assert [part["purl"] for part in debian] == ["pkg:deb/debian/libssl3@3.0.17-1?arch=amd64"]
    document = sbom.document("pipeline")
    assert document["specVersion"] == "1.6"
    found = {part["name"]: part for part in document["components"]}
    assert found["numpy"]["purl"].startswith("pkg:pypi/numpy@2.3")
    references = [part["bom-ref"] for part in document["components"]]
    assert len(references) == len(set(references))
