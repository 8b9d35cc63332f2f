"""The Dask cluster of the search: off by default, and held to what everything else is held to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.settings import HOME_PATH
from tests.component import test_automl_dask
from tests.manifests.policies import POLICIES
from tests.manifests.schemas import faults
from tests.programs import renders
from tools.release import PINS
from tools.rendered import Object, named, of_kind, render, workloads
from toolwear.common import images
from toolwear.common.fingerprint import ROOT
from toolwear.run.config import load

Rendered = dict[str, list[Object]]
WORKERS = "dask-worker"


@pytest.fixture(scope="module")
def dask() -> list[Object]:
    renders()
    return render("dask")


def container(objects: list[Object], name: str) -> Any:
    (found,) = [one for one in workloads(objects) if one.name.endswith(f"/{name}")]
    return found.containers[0]


def test_no_overlay_has_it(rendered: Rendered, dask: list[Object]) -> None:
    names = {named(item) for item in dask}
    assert len(names) == len(dask) == 6
    for objects in rendered.values():
        assert not names & {named(item) for item in objects}


@pytest.mark.parametrize("policy", POLICIES)
def test_with_it_an_overlay_keeps_to_the_policies(
    rendered: Rendered, dask: list[Object], policy: str
) -> None:
    assert POLICIES[policy]([*rendered["kind"], *dask]) == []


def test_each_field_is_known_to_kubernetes(dask: list[Object]) -> None:
    assert [fault for item in dask for fault in faults(item)] == []


def test_workers_are_started_as_they_were_tried(dask: list[Object]) -> None:
    command = container(dask, WORKERS)["command"]
    tried = Path(test_automl_dask.__file__).read_text()
    for option in ("--no-nanny", "--nthreads=1", "--memory-limit=0"):
        assert option in command
        assert option in tried
    assert container(dask, WORKERS)["image"] == images.AUTOML
    assert "toolwear/automl" in [pin["name"] for pin in yaml.safe_load(PINS.read_text())["images"]]


def test_the_step_and_the_workers_meet(dask: list[Object]) -> None:
    (service,) = of_kind(dask, "Service")
    port = service["spec"]["ports"][0]["port"]
    metadata = service["metadata"]
    address = f"tcp://{metadata['name']}.{metadata['namespace']}:{port}"
    assert load(search_dask=address).search_dask == address
    assert f"tcp://{metadata['name']}:{port}" in container(dask, WORKERS)["command"]
    for text in ("docs/kubernetes.md", "manifests/dask/kustomization.yaml"):
        assert address in (ROOT / text).read_text(), text
    mounts = {one["name"]: one["mountPath"] for one in container(dask, WORKERS)["volumeMounts"]}
    assert mounts["home"] == HOME_PATH, "the search's files are there for all"
