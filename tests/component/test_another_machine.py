"""A machine of other names, with one setting, goes through all of it by its contract."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.conftest import train
from toolwear.cli.main import app
from toolwear.common import jsonfile
from toolwear.release import champion

# What the other machine calls the mill's columns.
SIGNALS = {
    "S1_ActualVelocity": "speed_of_spindle",
    "S1_ActualAcceleration": "ripple",
    "S1_OutputPower": "power",
    "S1_OutputCurrent": "spindle_current",
    "S1_ActualPosition": "turns",
    "X1_OutputCurrent": "table_current",
    "Y1_OutputCurrent": "cross_current",
    "X1_OutputVoltage": "table_voltage",
    "Z1_ActualPosition": "depth",
    "M1_sequence_number": "block",
}
STATES = {
    "Prep": "setup",
    "Starting": "setup",
    "End": "done",
    "end": "done",
    "Repositioning": "air",
}
CONTRACT = """
[dataset]
name = "drill_press"
title = "A drill press"

[recordings]
files = "cut_{id}.csv"
table = "tools.csv"
number = "nr"
sample_period_seconds = 0.1
phases_in_order = false

[label]
column = "state"
negative = ["sharp"]
positive = ["blunt"]

[settings]
speed = { column = "vc", unit = "m/min", title = "cutting speed" }

[signals]
%s

[phases]
column = "Step"
names = ["setup", "cut", "air", "done"]

[rows]
judged = ["cut"]
cutting = ["speed_of_spindle > 52"]

[features]
levels = [
  "depth", "table_current", "cross_current", "table_voltage", "spindle_current", "turns", "block",
  "speed",
]

[[features.windows]]
signals = ["ripple", "power"]
statistics = ["std", "mad"]
why = "A worn edge loads the spindle unevenly."

[features.sets.published]
of = "rows"
why = "Single rows."

[features.sets.response]
of = "windows"
why = "What moves under load."
"""


@pytest.fixture(scope="module")
def drill_press(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return recordings of another machine, with the dataset.toml that says all of it."""
    folder = tmp_path_factory.mktemp("drill_press")
    table = pd.read_csv(real_data / "train.csv")
    tools = {
        "nr": table["No"],
        "vc": table["feedrate"],
        "state": table["tool_condition"].map({"worn": "blunt", "unworn": "sharp"}),
    }
    pd.DataFrame(tools).to_csv(folder / "tools.csv", index=False)
    for number in table["No"]:
        rows = pd.read_csv(real_data / f"experiment_{number:02d}.csv")
        mine = rows[list(SIGNALS)].rename(columns=SIGNALS)
        states = rows["Machining_Process"].map(lambda phase: STATES.get(phase, "cut"))
        mine.assign(Step=states).to_csv(folder / f"cut_{number}.csv", sep=";", index=False)
    lines = "\n".join(f"{name} = {{}}" for name in SIGNALS.values())
    (folder / "dataset.toml").write_text(CONTRACT % lines)
    return folder


@pytest.fixture(scope="module")
def home(drill_press: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with the champion that a run on them has trained."""
    return train(drill_press, tmp_path_factory.mktemp("home") / "home", permutations=0)


def _without_pictures(page: str) -> str:
    return re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)


def test_the_champion_speaks_of_its_own_columns_and_settings(home: Path) -> None:
    said = champion.read_package(home)[1].description
    assert {one["name"] for one in said["inputs"]} <= {*SIGNALS.values(), "speed"}
    assert said["dataset"]["dataset"]["title"] == "A drill press"
    text = (home / "latest" / "report.html").read_text()
    assert "table_current" in text
    for word in ("clamp", "feed", "Machining_Process", "Layer", "S1_", "Z1_"):
        assert word not in _without_pictures(text)


def test_a_recording_is_scored_by_its_own_settings(home: Path, drill_press: Path) -> None:
    asked = ["score", f"--home={home}", "--json", str(drill_press)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    found = [json.loads(line) for line in done.stdout.splitlines()]
    worn = pd.read_csv(drill_press / "tools.csv")["state"] == "blunt"
    assert [one["verdict"] == "worn" for one in found] == worn.tolist()
    assert {"speed"} <= set(found[0])
    assert "feedrate" not in found[0]


def test_the_summary_asks_the_questions_of_its_settings(home: Path) -> None:
    summary = jsonfile.read(home / "latest" / "summary.json")
    assert "feed" not in json.dumps(summary["statements"]).lower()
