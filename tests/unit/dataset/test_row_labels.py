"""Recordings in which the tool wears out: the label stands in each row, a table need not be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from components.ingest.step import ingest
from tests.lathe import LATHE
from toolwear.common.errors import ToolwearError
from toolwear.dataset import contract, schema
from toolwear.dataset.contract import DataSet, validated
from toolwear.dataset.recordings import recordings
from toolwear.evaluation.protocols import assign, folds, groups
from toolwear.features.telemetry import read_runs
from toolwear.scoring.sources import sources

MEASURED = {"of": "row", "column": "VB", "worn_from": 300, "unit": "um"}
WORDS = {"of": "row", "column": "state", "negative": ["good"], "positive": ["bad"]}


def lathe(label: dict[str, Any], **recorded: Any) -> DataSet:
    """Return the lathe's contract without phases, and with a label in each row."""
    values = LATHE.model_dump()
    del values["phases"], values["rows"]
    said = values["recordings"] | {"table": "", "number": ""} | recorded
    return validated(values | {"label": label, "recordings": said})


ONE_FILE = {"files": "", "file": "all.csv", "id": "tool"}
# Tool 3 wears out, the first row of tool 4 was not measured, and 5 stays sharp.
ROWS = pd.DataFrame(
    {
        "load": np.arange(8.0),
        "speed": 5.0,
        "tool": [3, 3, 4, 4, 3, 4, 5, 5],
        "VB": [100, 299.9, None, 10, 300, 400, 0, 1],
        "state": ["good", "Good", "", "good", "bad", "bad", "good", "good"],
    }
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one file of three tools."""
    made = tmp_path / "lathe"
    made.mkdir()
    ROWS.to_csv(made / "all.csv", index=False)
    return made


@pytest.mark.parametrize("label", [MEASURED, WORDS])
def test_a_recording_is_divided_where_its_label_changes(
    folder: Path, tmp_path: Path, label: dict[str, Any]
) -> None:
    dataset = lathe(label, **ONE_FILE)
    contract.keep(dataset, tmp_path / "lathe.json")
    output = tmp_path / "telemetry"
    manifest = ingest(
        data=str(folder),
        data_digest="",
        allow_simulator=False,
        output=output,
        dataset=dataset.content,
    )
    runs = read_runs(output)
    assert {run.run_id: (run.rows, run.worn) for run in runs.values()} == {
        "03-1": (2, 0),
        "03-2": (1, 1),
        "04-2": (1, 0),
        "04-3": (1, 1),
        "05-1": (2, 0),
    }
    assert manifest["quirks"]["excluded"] == [{"run": "04-1", "reason": "its label is empty"}]
    # The wear is what is to be told: no later step may see it.
    rows = pq.read_table(output / "part-00000.parquet").to_pandas()
    assert not {"VB", "state", "tool"} & set(rows)
    times = rows.set_index(schema.RUN_ID)[schema.EVENT_TIME]
    assert times["03-2"] - times["03-1"].iloc[-1] == pd.Timedelta(seconds=1)
    assert rows.groupby(schema.RUN_ID)[schema.ROW].min().eq(0).all()


def test_each_file_may_be_a_recording(tmp_path: Path) -> None:
    for tool, rows in ROWS.groupby("tool"):
        rows.to_csv(tmp_path / f"{tool}.csv", index=False)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    digests = {f"{tool}.csv": str(tool) for tool in (3, 4, 5)}
    found = recordings(tmp_path, lathe(MEASURED), digests, scratch, by_label=True)
    assert dict(found.labels) == {
        "03-1": 0,
        "03-2": 1,
        "04-1": None,
        "04-2": 0,
        "04-3": 1,
        "05-1": 0,
    }
    assert found.names["03-2"] == "3.csv from row 3"


def test_settings_come_from_a_table_where_there_are_any(folder: Path, tmp_path: Path) -> None:
    values = lathe(MEASURED, **ONE_FILE, table="tools.csv", number="nr").model_dump()
    values["settings"] = {"feed": {"column": "f"}}
    (folder / "tools.csv").write_text("nr,f\n3,0.1\n5,0.2\n6,0.2\n")
    output = tmp_path / "telemetry"
    manifest = ingest(
        data=str(folder),
        data_digest="",
        allow_simulator=False,
        output=output,
        dataset=validated(values).content,
    )
    feeds = {run.run_id: run.settings["feed"] for run in read_runs(output).values()}
    assert feeds == {"03-1": 0.1, "03-2": 0.1, "05-1": 0.2}
    left_out = {one["run"]: one["reason"] for one in manifest["quirks"]["excluded"]}
    assert set(left_out) == {"04-1", "04-2", "04-3", "06"}


def test_what_is_scored_is_not_divided_and_needs_no_label(folder: Path, tmp_path: Path) -> None:
    ROWS.drop(columns=["VB", "state"]).to_csv(folder / "all.csv", index=False)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    dataset = lathe(MEASURED, **ONE_FILE)
    found = list(sources([str(folder)], "", dataset, None, scratch))
    assert [one.name for one in found] == [f"all.csv (tool {tool})" for tool in (3, 4, 5)]
    assert [dict(one.stated()) for one in found] == [{}, {}, {}]


def test_a_word_that_is_no_class_is_named_with_its_place(folder: Path, tmp_path: Path) -> None:
    ROWS.assign(state=["good"] * 5 + ["so so"] * 3).to_csv(folder / "all.csv", index=False)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(ToolwearError, match=r"all.csv row 6: 'so so' in column 'state' is none of"):
        recordings(folder, lathe(WORDS, **ONE_FILE), {}, scratch, by_label=True)


def test_a_label_that_flickers_is_refused(folder: Path, tmp_path: Path) -> None:
    rows = pd.DataFrame({"load": 1.0, "speed": 5.0, "tool": 1, "VB": [0, 400] * 20})
    rows.to_csv(folder / "all.csv", index=False)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(ToolwearError, match=r"changes more than 20 times; smooth the column 'VB'"):
        recordings(folder, lathe(MEASURED, **ONE_FILE), {}, scratch, by_label=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": MEASURED | {"column": "load"}}, "take it out of the \\[signals\\]"),
        ({"label": {**WORDS, "of": "recording"}}, "needs a 'table', which says the label"),
        ({"settings": {"feed": {"column": "f"}}}, "needs a 'table', which says the \\[settings\\]"),
    ],
)
def test_a_contract_that_cannot_be_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        validated(lathe(MEASURED, **ONE_FILE).model_dump() | change)


class _Keys:
    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame


def test_stretches_of_a_recording_are_held_back_together() -> None:
    runs = ["03-1", "03-1", "03-2", "04-1", "05-1", "05-2"]
    keys = pd.DataFrame(
        {
            schema.SAMPLE_ID: [f"{run}:{place}" for place, run in enumerate(runs)],
            schema.RUN_ID: runs,
            schema.SETTING: schema.NO_SETTING,
            schema.IS_ACTIVE: True,
        }
    )
    assert groups(schema.NEW_RUN, keys).tolist() == ["03", "03", "03", "04", "05", "05"]
    of = folds(schema.NEW_RUN, _Keys(keys), assign(keys))
    assert {fold.name: fold.test_index.tolist() for fold in of} == {
        "03": [0, 1, 2],
        "04": [3],
        "05": [4, 5],
    }
