"""A lathe whose tools wear out within their recordings goes through all of it by its contract."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.conftest import train
from toolwear.cli.main import app
from toolwear.common import jsonfile
from toolwear.dataset import contract, schema
from toolwear.release import champion
from toolwear.release.decisions import NEW_RUNS

TOOLS = [3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16]
WORN_OUT = {4, 7, 9, 11, 13, 14, 15, 16}  # by their end
LATHE = contract.named("turning")


@pytest.fixture(scope="module")
def turning(real_data: Path) -> Path:
    """Return the folder of the real recordings of the lathe, beside the mill's."""
    folder = real_data.parent / "turning"
    if not (folder / LATHE.recordings.file).is_file():
        pytest.skip("the lathe's recordings are not beside the mill's")
    return folder


@pytest.fixture(scope="module")
def home(turning: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with the champion that a run on them has trained."""
    home = tmp_path_factory.mktemp("lathe") / "home"
    return train(
        turning, home, dataset="turning", permutations=0, search_evaluations=6, outer_folds=4
    )


def test_tools_that_were_left_out_are_judged(home: Path) -> None:
    summary = jsonfile.read(home / "latest" / "summary.json")
    assert summary["data"]["runs"] == 21  # 13 tools, of which 8 wear out
    assert set(summary["left_out"]) == {schema.NEW_SETTING}, "nothing is set"
    found = summary["protocols"][schema.NEW_RUN]
    judged = {name: one["mcc"] for name, one in found.items()}
    assert judged["random_forest"] > 0.7
    assert judged["auto_sklearn"] > 0.7
    assert found["auto_sklearn"]["feature_set"] == schema.PUBLISHED, "of what is served"
    assert {one["unit"] for one in found.values()} == {"rows"}, "each has a label of its own"


def test_the_gate_for_new_tools_is_passed(home: Path) -> None:
    summary = jsonfile.read(home / "latest" / "summary.json")
    assert summary["gate"]["use"] == NEW_RUNS, summary["gate"]["reasons"]
    (found,) = (home / "latest" / "artifacts").glob("*/evaluate/*/metrics.json")
    context = jsonfile.read(found)["context"]
    assert (context["recordings"], context["there_are"]) == (13, 13)
    assert set(context["against"]) == {schema.MAJORITY, schema.SETTINGS_ONLY, schema.CONTEXT}
    assert context["p"] < 0.05
    assert any("Over recordings that is better" in said for said in summary["statements"])


def test_not_sure_is_chosen_on_tools_that_were_left_out(home: Path) -> None:
    found = jsonfile.read(home / "latest" / "summary.json")["not_sure"]
    assert found["band"]["n"] == 2054
    assert found["unseen"]["runs"] == 13
    assert found["unseen"]["accuracy"] > found["unseen"]["accuracy_of_all"]


def test_what_tells_of_wear_within_a_tool_is_no_leak(home: Path) -> None:
    (audit,) = (home / "latest" / "artifacts").glob("*/split/*/audit.json")
    columns = {one["column"]: one for one in jsonfile.read(audit)["columns"]}
    force = columns["F_f_MAX"]
    assert (force["moves"], force["may_move"]) == (8, 8)
    assert force["run_auc"] > 0.95
    assert not force["leak"]


def test_the_measured_wear_is_told_and_never_given(home: Path) -> None:
    said = champion.read_package(home)[1].description
    assert {one["name"] for one in said["inputs"]} <= set(LATHE.signals)
    text = re.sub(
        r"base64,[A-Za-z0-9+/=]+", "", (home / "latest" / "report.html").read_text("utf-8")
    )
    for word in ("clamp", "feedrate", "Layer", "S1_", "Z1_"):
        assert word not in text


def test_each_tool_of_the_file_is_scored_without_dividing_it(home: Path, turning: Path) -> None:
    done = CliRunner().invoke(app, ["score", f"--home={home}", "--json", str(turning)])
    assert done.exit_code == 0, done.output
    found = [json.loads(line) for line in done.stdout.splitlines()]
    name = LATHE.recordings.file
    assert [one["recording"] for one in found] == [f"{name} (tool {tool})" for tool in TOOLS]
    assert sum(one["rows"] for one in found) == 2054
    # By their end, though most of their rows are of a tool that is not worn.
    worn = {tool for tool, one in zip(TOOLS, found, strict=True) if one["verdict"] == "worn"}
    assert worn <= WORN_OUT, "the others never reach the limit"
    assert len(worn) >= 6, "of one or two that have just reached it, it is not sure"
    assert all(one["unworn"] > 0.5 for one in found)
