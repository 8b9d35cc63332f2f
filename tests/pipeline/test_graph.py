"""The compiled graph: what a cluster would be asked to run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines import weight
from pipelines.settings import (
    CODE_DIGEST,
    ENVIRONMENT,
    HOME_CLAIM,
    HOME_PATH,
    LINEAGE,
    SEAL_SECRET,
    SETTINGS,
    SETTINGS_MAP,
    SITE_VARIABLE,
    STEP_LABEL,
    STORE_ENVIRONMENT,
    STORE_SECRET,
    settings_of,
)
from toolwear.cli.graph import compile_training, graph_digest
from toolwear.common import fingerprint
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.run.config import RunParameters
from toolwear.workspace import seal

SEALING = {"guard", "decide", "deploy", "promote", "decline", "finish"}
NEVER_CACHED = {
    "guard",
    "decide",
    "register",
    "serve_check",
    "deploy",
    "promote",
    "decline",
    "report",
    "finish",
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "training.yaml"
    compile_training(path)
    return path


@pytest.fixture(scope="module")
def spec(compiled: Path) -> dict[str, Any]:
    found: dict[str, Any] = next(yaml.safe_load_all(compiled.read_text()))
    return found


def tasks(spec: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return name and spec of every task, those in nested graphs included."""
    graphs = [spec["root"]["dag"]]
    graphs += [part["dag"] for part in spec["components"].values() if "dag" in part]
    found = [task for graph in graphs for task in graph["tasks"].items()]
    executed = [
        (name, task)
        for name, task in found
        if "executorLabel" in spec["components"][task["componentRef"]["name"]]
    ]
    assert len(executed) >= len(SETTINGS)
    return executed


def step_of(name: str) -> str:
    return next(step for step in SETTINGS if name.replace("-", "_").startswith(step))


def test_every_step_of_the_settings_is_in_the_graph(spec: dict[str, Any]) -> None:
    assert {step_of(name) for name, _ in tasks(spec)} == set(SETTINGS)


def test_every_task_reads_as_a_sentence_and_decisions_are_never_cached(
    spec: dict[str, Any],
) -> None:
    for name, task in tasks(spec):
        assert task["taskInfo"]["name"] == SETTINGS[step_of(name)].says
        cached = task["cachingOptions"].get("enableCache", False)
        # What is in a folder now, its name does not tell.
        assert cached == (step_of(name) not in NEVER_CACHED | {"ingest"}), name


def test_every_container_has_limits_an_image_of_ours_and_its_code_digest(
    spec: dict[str, Any],
) -> None:
    for label, executor in spec["deploymentSpec"]["executors"].items():
        container = executor["container"]
        resources = container["resources"]
        for key in ("resourceCpuLimit", "resourceCpuRequest", "resourceMemoryLimit"):
            assert resources[key], label
        image = container["image"]
        assert image.startswith("toolwear/"), label
        assert not image.endswith(":latest"), label
        assert (image == "toolwear/automl:dev") == ("automl" in label)
        assert "pip install" not in " ".join(container["command"]), label
        assert [entry["name"] for entry in container["env"]] == [CODE_DIGEST]


def test_every_task_has_its_place_on_a_cluster(compiled: Path) -> None:
    _, platform = yaml.safe_load_all(compiled.read_text())
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert len(executors) >= len(SETTINGS)
    for label, task in executors.items():
        step = step_of(label.removeprefix("exec-"))
        assert task["securityContext"] == {
            "runAsUser": "65532",
            "runAsGroup": "65532",
            "runAsNonRoot": True,
        }
        assert task["imagePullPolicy"] == "IfNotPresent"
        assert int(task["activeDeadlineSeconds"]) == SETTINGS[step].minutes * 60
        assert task["podMetadata"]["labels"] == {STEP_LABEL: step}
        (mount,) = task["pvcMount"]
        assert (mount["constant"], mount["mountPath"]) == (HOME_CLAIM, HOME_PATH)
        (settings,) = task["configMapAsEnv"]
        assert settings["configMapName"] == SETTINGS_MAP
        told = {item["envVar"] for item in settings["keyToEnv"]}
        assert told == {*ENVIRONMENT, *(STORE_ENVIRONMENT if SETTINGS[step].store else ())}
        # The object store's key goes to the one step that writes there, and the key that seals the
        # audit log to those that read it or write to it; without that one a step works, too.
        secrets = {item["secretName"]: item for item in task.get("secretAsEnv", [])}
        wanted = {STORE_SECRET: step == "deploy", SEAL_SECRET: step in SEALING}
        assert set(secrets) == {name for name, has in wanted.items() if has}, label
        if SEAL_SECRET in secrets:
            assert secrets[SEAL_SECRET]["optional"] is True
            (key,) = secrets[SEAL_SECRET]["keyToEnv"]
            assert (key["secretKey"], key["envVar"]) == ("seal-key", seal.KEY_VARIABLE)


def test_the_steps_that_use_the_audit_log_are_those_that_get_its_key() -> None:
    """By what their modules import; a deployment is put on it by what brings it into service."""
    for step in SETTINGS:
        folder = ROOT / "components" / step
        text = "".join(path.read_text() for path in folder.glob("*.py"))
        used = re.search(r"\b(audit_log|blue_green)\b", text)
        assert (used is not None) == (step in SEALING), step


def test_a_site_may_say_where_a_step_runs_and_what_it_gets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "tasks.toml"
    site.write_text(
        '[automl]\ncpu = ["2", "8"]\nnode = {pool = "big"}\naccelerator = "nvidia.com/gpu"\n'
    )
    monkeypatch.setenv(SITE_VARIABLE, str(site))
    # In a process of its own: the graph is built when its module is imported.
    command = [sys.executable, "-m", "toolwear.cli", "compile", str(tmp_path / "training.yaml")]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    spec, platform = yaml.safe_load_all((tmp_path / "training.yaml").read_text())
    resources = spec["deploymentSpec"]["executors"]["exec-automl"]["container"]["resources"]
    assert (resources["resourceCpuRequest"], resources["resourceCpuLimit"]) == ("2", "8")
    assert resources["accelerator"]["resourceType"] == "nvidia.com/gpu"
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors["exec-automl"]["nodeSelector"]["labels"] == {"pool": "big"}
    assert "nodeSelector" not in executors["exec-train"]
    for text, told in (
        ("[autml]\n", "autml"),
        ("[automl]\nlock = 1\n", "automl.lock"),
        ("[", "TOML"),
    ):
        site.write_text(text)
        with pytest.raises(ToolwearError, match=told):
            settings_of("train")


def test_what_a_task_is_told_stands_in_the_cluster_s_settings() -> None:
    lines = (ROOT / "manifests" / "kubeflow" / "settings.env").read_text().splitlines()
    told = [*ENVIRONMENT, *STORE_ENVIRONMENT]
    assert [line.partition("=")[0] for line in lines] == told
    assert f"TOOLWEAR_HOME={HOME_PATH}" in lines


def test_a_run_s_workflow_stays_below_what_argo_compresses(compiled: Path) -> None:
    spec, platform = yaml.safe_load_all(compiled.read_text())
    assert weight.weight(spec, platform) <= weight.BUDGET_BYTES < weight.LIMIT_BYTES
    # What nobody reads there would take it past the budget again.
    for executor in spec["deploymentSpec"]["executors"].values():
        source = executor["container"]["command"][-1]
        assert '"""' not in source
        executor["container"]["command"][-1] = source + '    """Says what it does."""\n' * 20
    assert weight.weight(spec, platform) > weight.BUDGET_BYTES


def test_a_component_s_code_loses_its_docstring_alone() -> None:
    head, said, body = (
        "import kfp\n\ndef step(a: int) -> int:\n",
        '    """Does it.\n\n    Twice.\n    """\n',
        "    return 2 * a\n",
    )
    light = weight.without_docstring(head + said + body)
    assert light == head + body
    assert weight.without_docstring(light) == light


def test_the_form_of_a_run_has_a_type_a_default_and_a_description_for_each_parameter(
    spec: dict[str, Any],
) -> None:
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    assert set(inputs) == set(RunParameters.model_fields) | set(LINEAGE)
    for name, parameter in inputs.items():
        assert parameter["description"], name
        assert parameter["parameterType"], name
        assert "defaultValue" in parameter, name
    defaults = RunParameters()
    for name in RunParameters.model_fields:
        assert inputs[name]["defaultValue"] == getattr(defaults, name)


def test_a_graph_is_named_by_its_content(compiled: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.yaml"
    assert compile_training(again) == graph_digest(compiled)
    text = again.read_text()
    again.write_text(text.replace("sdkVersion: kfp-", "sdkVersion: later-"))
    assert graph_digest(again) == graph_digest(compiled)
    again.write_text(text.replace("parameterType: NUMBER_INTEGER", "parameterType: STRING", 1))
    assert graph_digest(again) != graph_digest(compiled)


def test_component_folders_hold_the_same_files() -> None:
    folders = [fingerprint.ROOT / "components" / step for step in SETTINGS]
    for folder in folders:
        names = {path.name for path in folder.glob("*.py")}
        face = {"__init__.py", "component.py", "step.py"}
        assert face <= names, f"{folder} lacks a file"


def test_here_what_was_read_by_its_digest_may_come_from_the_cache(compiled: Path) -> None:
    from kfp import components

    from toolwear.cli.local_run import let_cache_read

    graph = components.load_component_from_file(str(compiled)).component_spec.implementation.graph
    let_cache_read(graph)
    (reading,) = [
        part.dag.tasks["ingest"] for part in graph.components.values() if "ingest" in part.dag.tasks
    ]
    assert reading.caching_options.enable_cache
