"""Scoring recordings without a server: every form of a file, long ones, and what is refused."""

from __future__ import annotations

import gzip
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from datasets.cnc_mill import names as mill
from serving.console.recordings import uploaded
from tests.lathe import LATHE
from toolwear.cli.main import app
from toolwear.cli.plain import plain_console
from toolwear.cli.score import score as by_command
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.dataset import contract
from toolwear.features.compute import compute
from toolwear.model.pyfunc import PackageModel
from toolwear.release import champion as pointer
from toolwear.scoring import logic
from toolwear.scoring.sources import settings_of
from toolwear.workspace.home import Home

RUNS = [f"{number:02d}" for number in range(1, 19)]
SETTINGS = "feedrate=6,clamp_pressure=4"


def score(home: Path, *words: object) -> tuple[int, list[dict[str, object]], str]:
    """Return the exit code, the verdicts and what went to stderr."""
    done = CliRunner().invoke(app, ["score", f"--home={home}", "--json", *map(str, words)])
    if isinstance(done.exception, ToolwearError):
        return 2, [], str(done.exception)
    return done.exit_code, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def copied(trained_home: Path, folder: Path) -> tuple[Path, Path]:
    """Return a copy of a home, and the file in it that says how its recordings were read."""
    home = shutil.copytree(trained_home, folder / "home", symlinks=True)
    (manifest,) = (home / "latest" / "artifacts").glob("*/ingest/telemetry/manifest.json")
    return home, manifest


@pytest.fixture
def csv(real_data: Path) -> Path:
    """Return a recording of a worn tool, cut at 6 mm/s and 4 bar."""
    return real_data / "experiment_06.csv"


def test_a_folder_is_scored_with_the_settings_of_its_table(
    trained_home: Path, real_data: Path
) -> None:
    code, found, said = score(trained_home, real_data)
    assert (code, said) == (0, "")
    assert [Path(str(one["recording"])).name for one in found] == [
        f"experiment_{run}.csv" for run in RUNS
    ]
    table = pd.read_csv(real_data / "train.csv")
    assert [one["verdict"] for one in found] == table["tool_condition"].tolist()
    assert [one["feedrate"] for one in found] == table["feedrate"].tolist()
    assert {one["use"] for one in found} == {"known_runs_only"}
    assert all(one["warnings"] == [] for one in found)
    assert [one["restored_order"] for one in found] == [run != "01" for run in RUNS]


def test_the_table_names_each_recording_on_a_narrow_terminal(
    trained_home: Path, real_data: Path
) -> None:
    """The folder of all is told once, and no name is cut off in 80 columns."""
    console = plain_console(width=80, file=(stream := io.StringIO()))
    by_command(Home.at(trained_home), [str(real_data)], console)
    printed = stream.getvalue()
    assert printed.count(f"in {real_data}:") == printed.count(str(real_data)) == 1
    lines = printed.splitlines()
    assert all(any(f"experiment_{run}.csv" in line for line in lines) for run in RUNS)
    assert max(len(line) for line in lines if ".csv" in line) <= 80
    assert "approved for recordings that it was trained on" in printed


def test_every_form_of_a_file_has_the_same_verdict(
    trained_home: Path, csv: Path, tmp_path: Path
) -> None:
    frame = pd.read_csv(csv)
    frame.to_csv(tmp_path / "a.csv", index=False, sep=";", decimal=",")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(csv.read_bytes()))
    frame.to_parquet(tmp_path / "c.parquet")
    code, found, _ = score(
        trained_home, csv, tmp_path, tmp_path / "*.parquet", "--settings", SETTINGS
    )
    assert (code, len(found)) == (0, 5)
    assert len({json.dumps({**one, "recording": ""}) for one in found}) == 1


def test_the_rows_are_those_of_the_console_and_of_mlflow(
    trained_home: Path, csv: Path, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.parquet"
    _, (found,), _ = score(trained_home, csv, "--rows", rows, "--settings", SETTINGS)
    _, package = pointer.read_package(trained_home)
    settings = {"feedrate": "6", "clamp_pressure": "4"}
    seen = uploaded(io.BytesIO(csv.read_bytes()), csv.name, settings, contract.default())
    about = package.description
    features = compute(seen.frame, int(about["window"]), contract.default())
    expected = PackageModel(package.folder).predict(features)
    layers = seen.frame[mill.PHASE].isin(contract.default().rows.judged).to_numpy()
    assert found["judged_rows"] == layers.sum()
    assert found["worn"] == pytest.approx((expected["verdict"][layers] == "worn").mean(), abs=1e-6)
    written = pd.read_parquet(rows)
    assert written["row"].tolist() == list(range(len(seen.frame)))
    # The file's rows are as stored, the console's in the order of time.
    for column in ("probability", "verdict"):
        assert sorted(written[column].astype(str)) == sorted(expected[column].astype(str))


def test_frames_of_any_size_have_the_same_verdict(
    trained_home: Path, csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = score(trained_home, csv, "--settings", SETTINGS)
    monkeypatch.setattr(logic, "_FRAME_ROWS", 100)
    assert score(trained_home, csv, "--settings", SETTINGS) == whole
    assert whole[1][0]["restored_order"] is True


def test_a_long_recording_is_read_from_disk_and_scored_the_same(
    trained_home: Path, csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = score(trained_home, csv, "--settings", SETTINGS, "--rows", tmp_path / "short.csv")
    monkeypatch.setattr(logic, "BATCH_ROWS", 500)
    long = score(trained_home, csv, "--settings", SETTINGS, "--rows", tmp_path / "long.csv")
    assert short[:2] == long[:2]
    assert "is long: its rows are sorted on disk" in long[2]
    assert (tmp_path / "short.csv").read_bytes() == (tmp_path / "long.csv").read_bytes()


def test_what_cannot_be_scored_is_told_and_the_rest_is_scored(
    trained_home: Path, csv: Path, tmp_path: Path
) -> None:
    frame = pd.read_csv(csv)
    gap = frame.copy()
    gap.loc[700, "S1_OutputPower"] = np.nan
    formula = frame.copy()
    formula.loc[3, mill.PHASE] = "=1+1"
    for name, one in (("gap", gap), ("formula", formula), ("fine", frame)):
        one.to_csv(tmp_path / f"{name}.csv", index=False)
    pd.concat([frame, frame]).to_csv(tmp_path / "two.csv", index=False)
    (tmp_path / "empty.csv").touch()
    code, found, said = score(trained_home, tmp_path, "--settings", SETTINGS)
    assert code == 1
    assert [Path(str(one["recording"])).stem for one in found] == ["fine"]
    lines = {
        Path(line.split(",")[0].split(" ")[1].rstrip(":")).stem: line for line in said.splitlines()
    }
    assert "no usable value in row 701, column S1_OutputPower" in lines["gap"]
    assert "'=1+1' in row 4, column Machining_Process, which is a formula" in lines["formula"]
    assert "holds more than one recording" in lines["two"]
    assert "empty" in lines["empty"]


def test_settings_are_asked_for_where_no_table_says_them(
    trained_home: Path, csv: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone.csv"
    alone.write_bytes(csv.read_bytes())
    code, found, said = score(trained_home, alone)
    assert (code, found) == (1, [])
    assert "--settings feedrate=...,clamp_pressure=..." in said
    code, (one,), _ = score(trained_home, alone, "--settings", "feedrate=20,clamp_pressure=4")
    assert (code, one["feedrate"]) == (0, 20)
    assert "reads 6 in 100%" in str(one["warnings"])


def test_the_contract_of_the_last_training_reads_what_says_nothing_of_its_own(
    trained_home: Path, csv: Path, tmp_path: Path
) -> None:
    home, path = copied(trained_home, tmp_path)
    manifest = jsonfile.read(path)
    manifest["dataset"]["columns"]["rename"] = {"S1_OutputPower": "Q7"}
    # Which rows are judged, the model's own contract says.
    manifest["dataset"]["rows"]["judged"] = ["Layer 1 Up"]
    jsonfile.write(path, manifest)
    theirs = tmp_path / "theirs.csv"
    pd.read_csv(csv).rename(columns={"S1_OutputPower": "Q7"}).to_csv(theirs, index=False)
    code, _, said = score(trained_home, theirs, "--settings", SETTINGS)
    assert code == 1
    assert "S1_OutputPower" in said
    _, (found,), _ = score(home, theirs, "--settings", SETTINGS)
    _, (usual,), _ = score(trained_home, csv, "--settings", SETTINGS)
    assert found == usual | {"recording": found["recording"]}


def test_a_recording_of_another_machine_is_refused(
    trained_home: Path, csv: Path, tmp_path: Path
) -> None:
    home, path = copied(trained_home, tmp_path)
    jsonfile.write(path, jsonfile.read(path) | {"dataset": LATHE.model_dump(mode="json")})
    code, found, said = score(home, csv)
    assert (code, found) == (1, [])
    assert "contract 'lathe', and the model knows a machine with other columns" in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("feedrate=6", "lacks clamp_pressure"),
        ("feedrate=6,clamp_pressure=-4", "'clamp_pressure=-4'"),
        ("feedrate=six,clamp_pressure=4", "'feedrate=six'"),
        ("feed=6,clamp_pressure=4", "'feed=6'"),
        ("feedrate=nan,clamp_pressure=4", "'feedrate=nan'"),
        ("feedrate", "'feedrate'"),
    ],
)
def test_faulty_settings_are_named(text: str, sentence: str) -> None:
    with pytest.raises(ToolwearError, match=sentence):
        settings_of(text, contract.default())


def test_nothing_is_overwritten_and_a_missing_champion_is_told(
    trained_home: Path, csv: Path, tmp_path: Path
) -> None:
    there = tmp_path / "verdicts.csv"
    there.write_text("mine")
    code, _, said = score(trained_home, csv, "--settings", SETTINGS, "--csv", there)
    assert (code, there.read_text()) == (2, "mine")
    assert "is there already" in said
    code, _, said = score(trained_home, csv, "--rows", tmp_path / "rows.json")
    assert (code, "a .csv or .parquet file, not to" in said) == (2, True)
    code, _, said = score(trained_home, csv, "--csv", there / "verdicts.csv")
    assert (code, "a part of its path is a file" in said) == (2, True)
    code, _, said = score(tmp_path, csv, "--settings", SETTINGS)
    assert code == 2
    assert "no champion" in said
    code, _, said = score(trained_home, tmp_path / "none-*.csv")
    assert (code, "There is no file or folder" in said) == (2, True)


def test_verdicts_are_written_as_csv(trained_home: Path, csv: Path, tmp_path: Path) -> None:
    file = tmp_path / "new" / "verdicts.csv"
    _, (found,), _ = score(trained_home, csv, "--settings", SETTINGS, "--csv", file)
    written = pd.read_csv(file, dtype={"version": str}).iloc[0]
    for name in ("recording", "verdict", "worn", "not_sure", "rows", "version", "package"):
        assert written[name] == found[name]
