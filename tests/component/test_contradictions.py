"""A table of runs that its telemetry contradicts is told; the real one is not contradicted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from components.ingest.step import ingest
from components.validate.step import validate
from datasets.cnc_mill import names as mill
from datasets.cnc_mill.simulator import SimulatorSettings, simulate
from tests.mill import MILL
from toolwear.cli.main import app
from toolwear.common import jsonfile
from toolwear.dataset import schema
from toolwear.features.contradictions import Readings, contradictions, of_table

FEEDS = (3.0, 6.0, 12.0, 15.0, 20.0, 30.0)


@pytest.fixture(scope="module")
def recorded(telemetry: Path) -> dict[str, pd.DataFrame]:
    rows = pd.concat(pd.read_parquet(part) for part in sorted(telemetry.glob("part-*.parquet")))
    return {str(run): frame for run, frame in rows.groupby(schema.RUN_ID)}


@pytest.fixture(scope="module")
def mistyped(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the recordings with 30 typed for run 11's feed rate of 3 mm/s."""
    data = tmp_path_factory.mktemp("mistyped") / "data"
    shutil.copytree(real_data, data)
    table = data / mill.RUN_TABLE_FILE
    text = table.read_text()
    table.write_text(text.replace("\n11,wax,3,", "\n11,wax,30,"))
    assert table.read_text() != text
    return data


def test_the_real_table_is_not_contradicted_and_every_other_feed_rate_is(
    telemetry: Path, recorded: dict[str, pd.DataFrame]
) -> None:
    assert of_table(telemetry) == []
    runs = pd.read_parquet(telemetry / "runs.parquet")
    stated_of = dict(zip(runs[schema.RUN_ID], runs[mill.FEEDRATE], strict=True))
    for run, frame in recorded.items():
        true = stated_of[run]
        for stated in FEEDS:
            said = contradictions(frame, {mill.FEEDRATE: stated}, MILL)
            assert bool(said) == (stated != true), (run, stated)


def test_a_contradiction_says_what_is_stated_and_what_is_read(
    recorded: dict[str, pd.DataFrame],
) -> None:
    (said,) = contradictions(recorded["11"], {mill.FEEDRATE: 30, mill.CLAMP_PRESSURE: 4}, MILL)
    assert said == (
        "feedrate is stated as 30 mm/s, but M1_CURRENT_FEEDRATE reads 3 in 100% of 1,903 cutting "
        "rows"
    )


def test_what_cannot_be_told_contradicts_nothing(recorded: dict[str, pd.DataFrame]) -> None:
    frame = recorded["11"]
    assert contradictions(frame, {}, MILL) == []
    assert contradictions(frame, {mill.CLAMP_PRESSURE: 99}, MILL) == []
    assert (
        contradictions(frame.drop(columns=mill.CURRENT_FEEDRATE), {mill.FEEDRATE: 30}, MILL) == []
    )
    assert contradictions(frame.iloc[:0], {mill.FEEDRATE: 30}, MILL) == []
    # Without a row in the cut only a feed rate that is never read is contradicted.
    before = frame[frame[mill.CURRENT_FEEDRATE] == 50].iloc[:40]
    assert contradictions(before, {mill.FEEDRATE: 50}, MILL) == []
    (said,) = contradictions(before, {mill.FEEDRATE: 3}, MILL)
    assert said.endswith("reads 50 in 100% of 40 rows")
    (said,) = contradictions(frame[[mill.CURRENT_FEEDRATE]], {mill.FEEDRATE: 30}, MILL)
    assert "M1_CURRENT_FEEDRATE reads 3" in said


def test_readings_are_the_same_however_the_rows_are_cut(recorded: dict[str, pd.DataFrame]) -> None:
    frame = recorded["05"]
    cutting = frame[mill.CURRENT_FEEDRATE].to_numpy() == 20
    whole, parts = Readings(MILL), Readings(MILL)
    whole.add(frame, cutting)
    for start in range(0, len(frame), 7):
        parts.add(frame.iloc[start : start + 7], cutting[start : start + 7])
    for stated in FEEDS:
        settings = {mill.FEEDRATE: stated}
        assert whole.contradictions(settings) == parts.contradictions(settings)
    assert whole.contradictions({mill.FEEDRATE: 20}) == []
    (said,) = whole.contradictions({mill.FEEDRATE: 6})
    assert "reads 20 in 100%" in said


def test_simulated_tables_are_not_contradicted(tmp_path: Path) -> None:
    simulate(SimulatorSettings(seed=5), tmp_path / "data")
    ingest(
        data=str(tmp_path / "data"),
        data_digest="",
        allow_simulator=False,
        output=tmp_path / "telemetry",
    )
    assert of_table(tmp_path / "telemetry") == []


def test_looking_at_the_data_tells_the_contradiction(mistyped: Path) -> None:
    done = CliRunner().invoke(app, ["data", "--data", str(mistyped)], env={"COLUMNS": "300"})
    assert done.exit_code == 0, done.output
    assert (
        "Run 11: feedrate is stated as 30 mm/s, but M1_CURRENT_FEEDRATE reads 3 in 100% of 1,903 "
        "cutting rows; check the table of runs."
    ) in " ".join(done.output.split())
    assert "Run 12" not in done.output


def test_validation_warns_with_the_run_and_the_values(mistyped: Path, tmp_path: Path) -> None:
    telemetry = tmp_path / "telemetry"
    ingest(data=str(mistyped), data_digest="", allow_simulator=False, output=telemetry)
    validate(telemetry, tmp_path / "validation")
    result = jsonfile.read(tmp_path / "validation" / "result.json")
    (entry,) = [item for item in result["expectations"] if item["name"] == "settings_agree"]
    assert (entry["severity"], entry["success"]) == ("warning", False)
    assert (entry["unexpected"], entry["total"]) == (1, 18)
    assert (
        ": 11 (feedrate is stated as 30 mm/s, but M1_CURRENT_FEEDRATE reads 3"
        in (entry["sentence"])
    )
    assert result["success"]
