"""Recordings that say no phase, and tables that say a measured wear rather than words."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from serving.common.row_schemas import raw
from serving.common.rows import RawColumns, RawRows, parse_instances
from tests.lathe import LATHE
from toolwear.common.errors import ToolwearError
from toolwear.dataset import contract
from toolwear.dataset.contract import DataSet, recorded, validated
from toolwear.dataset.recordings import recordings
from toolwear.dataset.run_file import FileNotes, read_batches
from toolwear.dataset.run_table import read_run_table
from toolwear.features.compute import is_cutting


def without_phases(**label: Any) -> DataSet:
    """Return the lathe's contract without phases and limits of cutting rows."""
    values = copy.deepcopy(LATHE.model_dump())
    del values["phases"], values["rows"]
    return validated(values | ({"label": label} if label else {}))


LOAD = pd.DataFrame({"load": [1.0, 2.0, 3.0], "speed": [5.0, 0.0, 5.0]})


@pytest.mark.parametrize("name", ["1.csv", "1.parquet"])
def test_a_file_without_phases_is_of_one(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith(".csv"):
        LOAD.to_csv(path, index=False)
    else:
        LOAD.to_parquet(path)
    dataset = without_phases()

    (batch,) = read_batches(path, dataset, FileNotes())

    frame = batch.to_pandas()
    assert frame["load"].tolist() == LOAD["load"].tolist()
    assert set(frame[dataset.phases.column]) == set(dataset.rows.judged) == {"recorded"}
    assert is_cutting(frame, dataset.rows.cutting).all()


def test_a_file_without_phases_is_divided(tmp_path: Path) -> None:
    values = without_phases().model_dump()
    values["recordings"] |= {"files": "", "file": "all.csv", "id": "tool"}
    LOAD.assign(tool=[1, 1, 2]).to_csv(tmp_path / "all.csv", index=False)
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    divided = recordings(tmp_path, validated(values), {"all.csv": "0"}, scratch)

    rows = {}
    for number in divided.files:
        notes = FileNotes()
        rows[number] = sum(batch.num_rows for batch in divided.read(number, notes))
        assert notes.passed_over == []
    assert rows == {"01": 2, "02": 1}


def test_a_contract_without_phases_travels_as_json() -> None:
    dataset = without_phases()
    assert recorded(dataset.model_dump(mode="json"), "it") == dataset
    assert contract.named(dataset.content) == dataset


def test_rows_of_a_client_have_no_phase_then() -> None:
    columns = RawColumns.of(without_phases())
    assert set(raw(columns)["properties"]) == {"load", "speed"}
    rows = parse_instances({"instances": [{"load": 1.0, "speed": 2.0}]}, columns)
    assert isinstance(rows, RawRows)
    assert rows.frame["phase"].tolist() == ["recorded"]


def test_a_measured_wear_is_worn_from_a_value_on(tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    table.write_text("run,VB\n1,0.29\n2,0.3\n3,\n4,0.45\n")
    dataset = without_phases(column="VB", worn_from=0.3, unit="mm")
    runs, _ = read_run_table(table, dataset)
    assert [run.worn for run in runs] == [0, 1, None, 1]


def test_a_measured_wear_that_is_no_number_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    table.write_text("run,VB\n1,much\n")
    dataset = without_phases(column="VB", worn_from=0.3)
    with pytest.raises(ToolwearError, match="line 2: 'much' in column 'VB' is not a number"):
        read_run_table(table, dataset)


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ({"column": "VB"}, "'worn_from'"),
        ({"column": "VB", "negative": ["no"]}, "'worn_from'"),
        ({"column": "VB", "worn_from": 1, "positive": ["yes"]}, "either words"),
    ],
)
def test_a_label_is_said_in_one_way(label: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        without_phases(**label)
