"""The whole graph on the real recordings, as a person starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.report.summary import Summary
from pipelines.settings import SETTINGS
from tests.conftest import run_command
from tests.pipeline.test_graph import NEVER_CACHED
from toolwear.common import jsonfile
from toolwear.common.fingerprint import ROOT
from toolwear.dataset import schema
from toolwear.dataset.sources import source_digest
from toolwear.model.package import load_package
from toolwear.release import registry as tags
from toolwear.release.registry import CHALLENGER, Registry
from toolwear.workspace.home import Home

CACHED = set(SETTINGS) - NEVER_CACHED

pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Done:
    """A finished call of the command line."""

    code: int
    output: str
    home: Path

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = jsonfile.read(self.home / "latest" / "summary.json")
        return found


def run(data: Path, home: Path, **settings: Any) -> Done:
    done = subprocess.run(
        run_command(data, home, **settings), capture_output=True, text=True, check=False
    )
    return Done(done.returncode, done.stdout + done.stderr, home)


@pytest.fixture(scope="module")
def first(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    done = run(real_data, tmp_path_factory.mktemp("home"))
    assert done.code == 0, done.output
    return done


@pytest.fixture(scope="module")
def second(real_data: Path, first: Done) -> Done:
    done = run(real_data, first.home)
    assert done.code == 0, done.output
    return done


@pytest.fixture(scope="module")
def first_summary(first: Done) -> dict[str, Any]:
    runs = sorted(path for path in first.home.glob("2*") if (path / "summary.json").exists())
    found: dict[str, Any] = jsonfile.read(runs[0] / "summary.json")
    return found


def test_a_run_ends_with_a_summary_of_the_documented_shape(
    first_summary: dict[str, Any], real_data: Path
) -> None:
    summary = Summary.model_validate(first_summary)
    assert summary.data.digest == source_digest(real_data)
    assert (summary.data.rows, summary.data.runs, summary.data.source) == (25_286, 18, "folder")
    assert set(summary.protocols) == set(schema.PROTOCOLS)
    for models in summary.protocols.values():
        assert {*schema.MODELS} >= set(models) >= {"decision_tree", "random_forest", "auto_sklearn"}
    assert summary.model.onnx_label_agreement == 1.0
    assert summary.model.onnx_max_abs_diff < 1e-5
    assert {item["run_id"] for item in summary.not_sure["unseen"]["per_run"]} == {
        f"{number:02d}" for number in range(1, 19)
    }
    assert set(summary.not_sure["statements"]) < set(summary.statements)
    assert set(summary.explanations) == {"shap", "lime", "anchor", "ice", "pdp", "surrogate"}
    assert summary.gate.use == "known_runs_only"
    assert summary.gate.reasons
    assert summary.serve_check["passed"] is True
    assert set(summary.timings) - {"total"} == set(SETTINGS) - {
        "deploy",  # on a cluster only
        "promote" if summary.gate.outcome != "promoted" else "decline",
    }


def test_every_key_of_the_summary_is_documented(first_summary: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "summary.md").read_text()
    documented = set(re.findall(r"`([a-z0-9_]+)`", page))
    told = set(first_summary)
    for name in set(first_summary) - {"timings"}:  # by step
        told |= set(first_summary[name]) if isinstance(first_summary[name], dict) else set()
    for models in first_summary["protocols"].values():
        told |= set(models).union(*models.values())
    assert told - documented == set()


def test_a_later_run_is_not_bound_to_the_contract_of_this_one(first: Done) -> None:
    """The trigger trains as in the last run, on other recordings that may say how to read them."""
    assert jsonfile.read(first.home / "latest" / "arguments.json")["dataset"] == ""


def test_the_forest_stands_beside_the_published_figures(first_summary: dict[str, Any]) -> None:
    forest = first_summary["protocols"]["known_runs"]["random_forest"]
    low, high = forest["interval"]["accuracy"]
    assert low <= 0.9934 <= high
    assert forest["published"]["accuracy"] == pytest.approx(0.9934)
    assert not forest["published"]["differs"]


def test_the_leak_is_found_and_new_runs_are_not_claimed(first_summary: dict[str, Any]) -> None:
    leaks = [entry["column"] for entry in first_summary["leakage"]["columns"] if entry["leak"]]
    assert set(leaks) == {"Z1_ActualPosition", "Z1_CommandPosition"}
    assert first_summary["leakage"]["order"]["shuffled_runs"]
    right = first_summary["protocols"]["new_run"]["nested"]["runs"]["correct"]
    assert right < 17, "far better than this data allows: look for a leak"


def test_the_report_is_one_page_that_fetches_nothing(first: Done) -> None:
    page = (first.home / "latest" / "report.html").read_text()
    assert page.count("<img") > 10
    assert 'src="http' not in page
    assert 'href="http' not in page
    assert "Is the tool worn?" in page
    first_screen = page[page.index("<h1>") : page.index("<details>")]
    for words in ("Do not rely on this for new recordings", "95 % interval", 'class="intervals"'):
        assert words in first_screen
    alts = re.findall(r'<img [^>]*alt="([^"]+)" width="\d+" height="\d+">', page)
    assert len(alts) == page.count("<img") == len(set(alts)), "each picture has its own caption"


def test_the_version_is_registered_whole(first: Done, first_summary: dict[str, Any]) -> None:
    home = Home.at(first.home)
    challenger = Registry(home, "", "toolwear").at(CHALLENGER)
    assert challenger is not None
    package = load_package(home.packages / first_summary["model"]["package"])
    assert package.model_sha256 == first_summary["model"]["sha256"]
    assert not list(first.home.rglob("*.pkl"))


def test_mlflow_shows_each_run_with_its_page(second: Done) -> None:
    home = Home.at(second.home)
    client = Registry(home, "", "toolwear").client
    for folder in sorted(path.parent.name for path in second.home.glob("2*/summary.json")):
        (run,) = client.search_runs(["1"], f"tags.`{tags.RUN}` = '{folder}'")
        assert run.info.status == "FINISHED"
        assert run.info.end_time - run.info.start_time > 10_000
        assert run.data.params["outer_folds"] == "1"
        assert 8 <= len(run.data.metrics) <= 13
        names = {item.path for item in client.list_artifacts(run.info.run_id)}
        assert names >= {"report.html", "summary.json", "MODEL_CARD.md", "figures.json"}
        assert {item.dataset.name for item in run.inputs.dataset_inputs} >= {"cnc_mill"}
        below = client.search_runs(["1"], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
        kinds = {one.info.run_name.split()[0] for one in below}
        assert kinds == {"search", "fold", "baseline"}


def test_nothing_changed_means_cached_but_decided_anew(
    second: Done, first_summary: dict[str, Any]
) -> None:
    assert set(second.summary["cached"]) == CACHED
    assert second.summary["protocols"] == first_summary["protocols"]
    assert second.summary["model"]["sha256"] == first_summary["model"]["sha256"]
    assert second.summary["timings"]["decide"] > 0


def test_one_changed_parameter_runs_only_what_depends_on_it(second: Done, real_data: Path) -> None:
    third = run(real_data, second.home, explain_rows=3)
    assert third.code == 0, third.output
    assert set(third.summary["cached"]) == CACHED - {"explain"}
    assert third.summary["explanations"]["shap"]["rows"] == 3


def test_a_killed_run_leaves_nothing_by_halves(second: Done, real_data: Path) -> None:
    registry = Registry(Home.at(second.home), "", "toolwear")
    before = registry.at(CHALLENGER)
    with subprocess.Popen(
        run_command(real_data, second.home, explain_rows=1),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + 120
        while not list(second.home.glob("2*/events/explain.json")) or _newest_idle(second.home):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    after = registry.at(CHALLENGER)
    assert before is not None
    assert after is not None
    assert after.number == before.number
    again = run(real_data, second.home, explain_rows=1)
    assert again.code == 0, again.output
    assert set(again.summary["cached"]) == CACHED - {"explain"}


def _newest_idle(home: Path) -> bool:
    newest = max(home.glob("2*"), key=lambda path: path.stat().st_mtime)
    event = newest / "events" / "explain.json"
    return not event.exists() or jsonfile.read(event)["state"] != "running"


def test_bad_data_ends_with_a_sentence_a_page_and_exit_code_two(
    real_data: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for path in real_data.glob("*.csv"):
        (data / path.name).write_bytes(path.read_bytes())
    (data / "experiment_03.csv").write_text("")
    done = run(data, tmp_path / "home")
    assert done.code == 2
    assert "experiment_03.csv is empty; record the run again" in done.output
    assert "Traceback" not in done.output
    page = next((tmp_path / "home").glob("2*/failure.html")).read_text()
    assert "experiment_03.csv is empty" in page
    assert "What to do" in page
    client = Registry(Home.at(tmp_path / "home"), "", "toolwear").client
    (found,) = client.search_runs(["1"])
    assert (found.info.status, found.data.tags[tags.STATE]) == ("FAILED", "failed")
    assert "experiment_03.csv is empty" in found.data.tags[tags.REASON]
    assert [item.path for item in client.list_artifacts(found.info.run_id)] == ["failure.html"]
    assert not (tmp_path / "home" / "latest").exists()


def test_an_unwritable_home_is_a_sentence(real_data: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = run(real_data, file / "home")
    assert done.code == 2
    assert "give another folder with --home" in done.output


def test_status_and_report_tell_of_the_runs(second: Done) -> None:
    for command, words in (
        (["status"], "Last runs"),
        (["report"], "Champion kept: the new model is identical"),
        (["report", "--details"], "known_runs"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "toolwear.cli", *command, f"--home={second.home}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert words in done.stdout
