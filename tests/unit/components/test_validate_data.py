"""What validation says of real recordings that were damaged on purpose."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.validate.docs import mend
from components.validate.step import validate
from datasets.cnc_mill import names as mill
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema
from toolwear.dataset.contract import default

X, Y = "X1_ActualPosition", "Y1_ActualPosition"
RUNS = ("01", "05", "07", "08", "16")  # two complete, three aborted; both classes; 3,289 rows
REMOTE = re.compile(r"(?:src|href|action|url)\s*[=(]\s*[\"']?(?:https?:)?//", re.IGNORECASE)

Damage = Callable[[pd.DataFrame, pd.DataFrame], tuple[pd.DataFrame, pd.DataFrame]]


@dataclass(frozen=True)
class Outcome:
    """What a validation left behind."""

    result: dict[str, Any]
    folder: Path
    refusal: str | None

    def entry(self, name: str, column: str | None) -> dict[str, Any]:
        (entry,) = (
            e
            for e in self.result["expectations"]
            if (e["name"], e["column"]) == (name, column) and not e["success"]
        )
        return dict(entry)

    def failing(self, severity: str) -> set[tuple[str, str]]:
        return {
            (e["name"], e["column"])
            for e in self.result["expectations"]
            if not e["success"] and e["severity"] == severity
        }

    def rows(self, column: str) -> list[tuple[str, str]]:
        with (self.folder / "failing_rows.csv").open(newline="") as stream:
            lines = [line for line in csv.DictReader(stream) if line["column"] == column]
        return [(line["run_id"], line["row"]) for line in lines]


def judge(telemetry: Path, output: Path, batch_rows: int = 250_000) -> Outcome:
    refusal = None
    try:
        validate(telemetry, output, batch_rows)
    except ToolwearError as error:
        refusal = str(error)
    return Outcome(jsonfile.read(output / "result.json"), output, refusal)


@pytest.fixture(scope="module")
def few_runs(telemetry: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = pd.concat(map(pd.read_parquet, sorted(telemetry.glob("part-*.parquet"))))
    runs = pd.read_parquet(telemetry / "runs.parquet")
    kept = rows[schema.RUN_ID].isin(RUNS)
    return rows[kept].reset_index(drop=True), runs[runs[schema.RUN_ID].isin(RUNS)]


@pytest.fixture
def damaged(few_runs: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path) -> Callable[..., Outcome]:
    def make(damage: Damage) -> Outcome:
        rows, runs = damage(few_runs[0].copy(), few_runs[1].copy().reset_index(drop=True))
        return judge(write(rows, runs, tmp_path / "telemetry"), tmp_path / "out")

    return make


def write(rows: pd.DataFrame, runs: pd.DataFrame, folder: Path) -> Path:
    folder.mkdir(parents=True)
    rows.to_parquet(folder / "part-00000.parquet", index=False)
    runs.to_parquet(folder / "runs.parquet", index=False)
    manifest = {
        "digest": "d" * 64,
        "source": {"kind": "folder"},
        "rows": len(rows),
        "runs": len(runs),
        "dataset": default().model_dump(mode="json"),
    }
    jsonfile.write(folder / "manifest.json", manifest)
    return folder


def at(rows: pd.DataFrame, run: str, *numbers: int) -> pd.Series:
    return (rows[schema.RUN_ID] == run) & rows[schema.ROW].isin(numbers)


def test_mending_leaves_local_references_alone() -> None:
    page = (
        '<head><link rel="stylesheet" href="https://cdn.example/x.css">'
        '<link href="static/a.css"><script src="//cdn.example/y.js"></script></head>'
        '<img src="http://host/p.png?id=1"><a href="https://host/">out</a><a href="in.html">in</a>'
        "<style>b { background: url(https://host/z.png) }</style>"
    )
    mended = mend(page)
    assert not REMOTE.search(mended)
    assert '<link href="static/a.css">' in mended
    assert '<a href="in.html">in</a>' in mended


def damage_rows(rows: pd.DataFrame, runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Damage one thing in one place each, so that each has to be found for itself."""
    rows.loc[at(rows, "01", 3, 4), X] = np.nan
    rows.loc[at(rows, "05", 7), mill.PHASE] = "Layer 9 Up"
    rows.loc[at(rows, "07", 0, 1, 2), Y] = 1_000.0
    rows.loc[at(rows, "08", 600), "S1_OutputPower"] = np.inf
    rows.loc[at(rows, "08", 601), "S1_OutputPower"] = -np.inf
    rows = rows[~at(rows, "16", 100)].reset_index(drop=True)
    return rows, runs


@pytest.fixture(scope="module")
def at_once_and_in_batches(
    few_runs: tuple[pd.DataFrame, pd.DataFrame], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Outcome, Outcome]:
    folder = tmp_path_factory.mktemp("damaged")
    rows, runs = damage_rows(few_runs[0].copy(), few_runs[1].copy())
    telemetry = write(rows, runs, folder / "telemetry")
    # Batches of 1,000 rows end within runs 01, 07 and 08.
    return judge(telemetry, folder / "at_once"), judge(telemetry, folder / "in_batches", 1_000)


def test_damaged_rows_are_named(at_once_and_in_batches: tuple[Outcome, Outcome]) -> None:
    outcome = at_once_and_in_batches[0]
    assert outcome.failing("critical") == {
        ("not_null", X),
        ("phase", mill.PHASE),
        ("range", Y),
        ("range", "S1_OutputPower"),
        ("sampling", "row_step"),
        ("row_count", "row_difference"),
    }
    assert outcome.rows(X) == [("01", "3"), ("01", "4")]
    assert outcome.rows(mill.PHASE) == [("05", "7")]
    assert outcome.rows(Y) == [("07", "0"), ("07", "1"), ("07", "2")]
    assert outcome.rows("S1_OutputPower") == [("08", "600"), ("08", "601")]
    assert outcome.rows("row_step") == [("16", "101")]
    assert outcome.rows("row_difference") == [("16", "")]
    assert ("sampling", "time_step") in outcome.failing("warning")


def test_the_refusal_names_the_worst_failure_and_the_file(
    at_once_and_in_batches: tuple[Outcome, Outcome],
) -> None:
    outcome = at_once_and_in_batches[0]
    worst = (
        "The telemetry has not as many rows as the table of runs says in 1 of 5 runs (20.0 %): 16"
    )
    file = outcome.folder / "failing_rows.csv"
    assert outcome.refusal == f"the data is refused: {worst} (and 5 more); see {file}"
    assert f"Refused: {worst}." in (outcome.folder / "report.html").read_text()


def test_batches_of_1000_rows_give_the_result_of_one_batch(
    at_once_and_in_batches: tuple[Outcome, Outcome],
) -> None:
    at_once, in_batches = at_once_and_in_batches
    assert at_once.result == in_batches.result
    for name in ("failing_rows.csv", "report.html"):
        assert (at_once.folder / name).read_bytes() == (in_batches.folder / name).read_bytes()


def test_a_run_without_a_layer_is_refused_and_a_repeated_run_is_a_warning(
    damaged: Callable[..., Outcome],
) -> None:
    def damage(rows: pd.DataFrame, runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        layer = (rows[schema.RUN_ID] == "08") & (rows[mill.PHASE] == "Layer 3 Down")
        end = (rows[schema.RUN_ID] == "01") & (rows[mill.PHASE] == "End")
        rows.loc[layer | end, mill.PHASE] = "Repositioning"
        copy = rows[rows[schema.RUN_ID] == "05"].assign(**{schema.RUN_ID: "90"})
        new = runs[runs[schema.RUN_ID] == "05"].assign(**{schema.RUN_ID: "90"})
        return pd.concat([rows, copy], ignore_index=True), pd.concat([runs, new])

    outcome = damaged(damage)
    assert outcome.failing("critical") == {
        ("complete", "missing_layers"),
        ("complete", "reaches_end"),
    }
    assert outcome.rows("missing_layers") == [("08", "")]
    assert outcome.rows("reaches_end") == [("01", "")]
    assert outcome.entry("complete", "missing_layers")["total"] == 2  # finalized runs only
    repetition = outcome.entry("repetition", "twin_same_label")
    assert (repetition["severity"], repetition["unexpected"]) == ("warning", 2)


def test_labels_and_runs_that_contradict_each_other(damaged: Callable[..., Outcome]) -> None:
    def damage(rows: pd.DataFrame, runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        copy = rows[rows[schema.RUN_ID] == "05"].assign(**{schema.RUN_ID: "90"})  # other label
        short = rows[at(rows, "07", *range(99))].assign(**{schema.RUN_ID: "91"})
        stranger = rows[at(rows, "08", *range(120))].assign(**{schema.RUN_ID: "92"})
        new = pd.concat([runs[runs[schema.RUN_ID] == run] for run in ("16", "07")])
        new[schema.RUN_ID], new["rows"] = ["90", "91"], [len(copy), len(short)]
        runs = pd.concat([runs, new], ignore_index=True)
        runs.loc[runs[schema.RUN_ID] == "08", schema.LABEL] = 0
        runs.loc[runs[schema.RUN_ID] == "16", mill.CLAMP_PRESSURE] = 400.0
        runs.loc[runs[schema.RUN_ID] == "07", schema.INSPECTION] = True
        runs[schema.LABEL] = runs[schema.LABEL].astype("int8")
        return pd.concat([rows, copy, short, stranger], ignore_index=True), runs

    outcome = damaged(damage)
    assert outcome.failing("critical") == {
        ("contradiction", "twin_other_label"),
        ("run_length", "rows_of_recording"),
        ("known_run", schema.RUN_ID),
        ("label", "label_agrees"),
        ("range", mill.CLAMP_PRESSURE),
    }
    assert outcome.rows("twin_other_label") == [("05", ""), ("90", "")]
    assert outcome.rows("rows_of_recording") == [("91", "")]
    assert outcome.rows("label_agrees") == [("08", "")]
    assert outcome.entry("known_run", schema.RUN_ID)["unexpected"] == 120
    assert ("inspection", schema.INSPECTION) in outcome.failing("warning")
    assert outcome.entry("inspection", schema.INSPECTION)["sentence"].endswith(": 07.")


def test_too_few_runs_of_one_class_and_one_without_telemetry(
    damaged: Callable[..., Outcome],
) -> None:
    def damage(rows: pd.DataFrame, runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        rows = rows[rows[schema.RUN_ID] == "08"].reset_index(drop=True)
        runs = runs[runs[schema.RUN_ID].isin(["08", "16"])]
        return rows, pd.concat([runs, runs.iloc[[0]]], ignore_index=True)

    outcome = damaged(damage)
    assert outcome.failing("critical") == {
        ("both_classes", schema.CONDITION),
        ("one_label", schema.RUN_ID),
        ("row_count", "row_difference"),
        ("run_length", "rows_of_recording"),
    }
    assert "tools of one class only" in outcome.entry("both_classes", schema.CONDITION)["sentence"]
    assert outcome.entry("row_count", "row_difference")["sentence"].endswith(": 16.")


def test_a_column_of_the_wrong_type_stops_the_checks_of_values(
    damaged: Callable[..., Outcome],
) -> None:
    def damage(rows: pd.DataFrame, runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        rows[Y] = rows[Y].astype(str)
        return rows[[*rows.columns[1:], rows.columns[0]]], runs.drop(columns=schema.INSPECTION)

    outcome = damaged(damage)
    assert outcome.failing("critical") == {("type", Y), ("columns", None)}
    names = {entry["name"] for entry in outcome.result["expectations"]}
    assert names == {"type", "columns"}
    order = "The telemetry does not have its 51 columns in their order"
    sentences = [e["sentence"] for e in outcome.result["expectations"] if not e["success"]]
    assert sentences == [
        "The table of runs lacks columns: missing passed_visual_inspection in runs.parquet.",
        f"{order}: at position 1 stands row instead of run_id in part-00000.parquet.",
        f"{Y} is not of type float64: found str in part-00000.parquet.",
    ]


def test_a_storm_of_missing_values_is_counted_whole_and_listed_in_part(
    damaged: Callable[..., Outcome],
) -> None:
    def damage(rows: pd.DataFrame, runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        rows.loc[rows[schema.RUN_ID] != "05", list(mill.NUMERIC_COLUMNS)] = np.nan
        return rows, runs

    outcome = damaged(damage)
    missing = {entry for entry in outcome.failing("critical") if entry[0] == "not_null"}
    assert missing == {("not_null", column) for column in mill.NUMERIC_COLUMNS}
    assert outcome.entry("not_null", Y)["unexpected"] == 3_289 - 462
    with (outcome.folder / "failing_rows.csv").open() as stream:
        assert sum(1 for _ in stream) == 1 + 10_000


def test_a_folder_that_ingest_did_not_write_is_told_so(telemetry: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolwearError, match=r"holds no manifest\.json: give the folder that"):
        validate(tmp_path, tmp_path / "out")
    shutil.copy(telemetry / "manifest.json", tmp_path)
    with pytest.raises(ToolwearError, match=r"holds no runs\.parquet: give the folder that"):
        validate(tmp_path, tmp_path / "out")
