"""The four steps that decide and act, as Kubeflow components under the local runner."""

from collections.abc import Callable
from pathlib import Path

import pytest
from kfp import dsl, local

from components.decide.component import decide
from components.decline.component import decline
from components.promote.component import promote
from components.register.component import register
from components.serve_check.component import serve_check
from tests.run_artifacts import make_run
from toolwear.common import jsonfile
from toolwear.release import audit_log
from toolwear.release.registry_state import champion_state
from toolwear.workspace.home import Home


def graph_over(folder: Path) -> Callable[[], object]:
    """Return the graph over the artifacts in a folder."""

    @dsl.pipeline(name="decision")
    def decision_to_champion() -> None:
        """Decide, register, check and promote, from artifacts that are there."""
        made = {
            name: dsl.importer(
                artifact_uri=f"{folder}/{name}", artifact_class=kind, reimport=True
            ).output
            for name, kind in (
                ("evaluation", dsl.Artifact),
                ("explanation", dsl.Artifact),
                ("split", dsl.Artifact),
                ("validation", dsl.Artifact),
                ("features", dsl.Dataset),
                ("automl", dsl.Model),
            )
        }
        decided = decide(**made, data_digest="d0", seed=0)
        made.pop("validation")
        registered = register(
            **made,
            decision=decided.outputs["decision"],
            data_digest="d0",
            commit="c" * 40,
            graph_digest="e" * 64,
            seed=0,
            cause="test",
        )
        checked = serve_check(
            package=registered.outputs["package"], digest=registered.outputs["digest"]
        )
        ending = {
            "decision": decided.outputs["decision"],
            "registration": registered.outputs["registration"],
            "check": checked.outputs["check"],
            "cause": "test",
        }
        # The local runner skips a lone If on a named output; with an Else it works.
        with dsl.If(checked.outputs["passed"] == True):  # noqa: E712
            promote(**ending)
        with dsl.Else():
            decline(**ending)

    graph: Callable[[], object] = decision_to_champion
    return graph


def test_from_decision_to_champion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "run")
    home = tmp_path / "home"
    monkeypatch.setenv("TOOLWEAR_HOME", str(home))
    root = tmp_path / "kfp"
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root))
    graph_over(run.root)()
    state = champion_state(home)
    assert state is not None
    assert (state["name"], state["version"]) == ("toolwear", "1")
    assert state["why"].startswith("promote_first: ")
    (entry,) = audit_log.entries(Home(home))
    assert entry["cause"] == "test"
    (check,) = root.rglob("check.json")
    assert jsonfile.read(check)["passed"] is True
    (output,) = root.rglob("register/executor_output.json")
    (artifact,) = jsonfile.read(output)["artifacts"]["package"]["artifacts"]
    assert artifact["metadata"] == {"digest": state["package"], "version": "1"}
