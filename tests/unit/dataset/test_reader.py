"""Recordings as other programs write them: read, or refused with what is to be mended."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.ingest.step import ingest
from datasets.cnc_mill import names as mill
from tests.mill import MILL
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.dataset import contract, schema
from toolwear.dataset.names import OtherNamesError, proposal, rename_table
from toolwear.dataset.nulls import is_null
from toolwear.dataset.sources import source_digest
from toolwear.dataset.starts import phase_restart

NAMES = list(mill.RAW_COLUMNS)
PHASES = ["Prep", "Layer 1 Up", "Layer 1 Down", "Repositioning", "Layer 2 Up", "End"]
# Where no limit of cutting is crossed.
LEVELS = {"Z1_ActualPosition": 29.5, "M1_CURRENT_FEEDRATE": 6.0, "S1_ActualVelocity": 53.3}
TABLE = "No,material,feedrate,clamp_pressure,tool_condition,machining_finalized,{}\n"
ROWS = "1,wax,6,4,unworn,yes,yes\n2,wax,20,2.5,worn,no,\n"
FIRST, SECOND = "experiment_01.csv", "experiment_02.csv"

Write = Callable[[pd.DataFrame, Path], Any]


def frame_of(run: int, rows: int = 12) -> pd.DataFrame:
    draw = np.random.default_rng(run)
    frame = pd.DataFrame(
        draw.normal(size=(rows, len(mill.NUMERIC_COLUMNS))).round(4),
        columns=list(mill.NUMERIC_COLUMNS),
    )
    for name, level in LEVELS.items():
        frame[name] = level
    frame[mill.PHASE] = np.repeat(PHASES, -(-rows // len(PHASES)))[:rows]
    return frame[NAMES]


def _csv(frame: pd.DataFrame, path: Path, **how: Any) -> None:
    frame.to_csv(path, index=False, **how)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder of two runs as the mill writes them."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "train.csv").write_text(TABLE.format(schema.INSPECTION) + ROWS)
    for run, name in ((1, FIRST), (2, SECOND)):
        _csv(frame_of(run), folder / name)
    return folder


def read(data: Path, tmp_path: Path, dataset: str = "") -> tuple[dict[str, Any], pd.DataFrame]:
    output = tmp_path / "telemetry"
    manifest = ingest(str(data), "", allow_simulator=False, output=output, dataset=dataset)
    parts = [pq.read_table(part) for part in sorted(output.glob("part-*.parquet"))]
    return manifest, pa.concat_tables(parts).to_pandas()


def rows_of(table: pd.DataFrame, run: str) -> pd.DataFrame:
    return table.loc[table[schema.RUN_ID] == run, NAMES].reset_index(drop=True)


def _encoded(encoding: str) -> Write:
    return lambda frame, path: path.write_bytes(frame.to_csv(index=False).encode(encoding))


def _packed(pack: Callable[[bytes], bytes]) -> Write:
    return lambda frame, path: path.write_bytes(pack(frame.to_csv(index=False).encode()))


def _semicolon(frame: pd.DataFrame, path: Path) -> None:
    _csv(frame, path, sep=";", decimal=",")


def _excel(frame: pd.DataFrame, path: Path) -> None:
    text = frame.to_csv(index=False, sep=";", decimal=",", lineterminator="\r\n")
    path.write_bytes(b"\xef\xbb\xbfsep=;\r\n" + text.encode())


def _columns_by_blanks(frame: pd.DataFrame, path: Path) -> None:
    lines = [NAMES, *frame.astype(str).to_numpy().tolist()]
    path.write_text("".join("   ".join(line) + " \n" for line in lines))


def _quoted_commas(frame: pd.DataFrame, path: Path) -> None:
    _csv(frame, path, decimal=",", quoting=1)


def _latin(frame: pd.DataFrame, path: Path) -> None:
    wider = frame.assign(**{"Kühlmittel °C": 21.5})
    path.write_bytes(wider.to_csv(index=False).encode("latin-1"))


def _with_plus(frame: pd.DataFrame, path: Path) -> None:
    lines = [NAMES, *frame.astype(str).to_numpy().tolist()]
    lines[1][0] = f"+{abs(float(lines[1][0]))}"
    frame.loc[0, NAMES[0]] = float(lines[1][0])
    path.write_text("".join(",".join(f" {cell} " for cell in line) + "\n" for line in lines))


FORMS: dict[str, tuple[Write, str]] = {
    "semicolon and decimal comma": (_semicolon, "separator semicolon, decimal comma"),
    "tab": (lambda frame, path: _csv(frame, path, sep="\t"), "separator tab"),
    "bar": (lambda frame, path: _csv(frame, path, sep="|"), "separator bar"),
    "white space": (_columns_by_blanks, "separator white space"),
    "quoted decimal commas": (_quoted_commas, "separator comma, decimal comma"),
    "Excel's first line": (_excel, "separator semicolon, decimal comma, utf-8"),
    "UTF-16": (_encoded("utf-16"), "utf-16"),
    "UTF-16 without a mark": (_encoded("utf-16-be"), "utf-16-be"),
    "Latin-1": (_latin, "cp1252"),
    "gzip": (_packed(gzip.compress), "gzip"),
    "bzip2": (_packed(bz2.compress), "bz2"),
    "xz": (_packed(lzma.compress), "xz"),
    "zstd": (_packed(lambda text: pa.compress(text, "zstd", asbytes=True)), "zstd"),
    "Parquet": (lambda frame, path: frame.to_parquet(path, index=False), "Parquet"),
    "blanks around cells": (_with_plus, "separator comma"),
    "a further column": (
        lambda frame, path: _csv(frame.assign(Coolant=1.0), path),
        "separator comma, decimal dot, utf-8",
    ),
    "blank lines first": (
        lambda frame, path: path.write_text("\n  \n" + frame.to_csv(index=False)),
        "separator comma",
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_guessed_told_and_read(data: Path, tmp_path: Path, form: str) -> None:
    write, told = FORMS[form]
    expected = frame_of(1)
    write(expected, data / FIRST)
    manifest, table = read(data, tmp_path)
    pd.testing.assert_frame_equal(rows_of(table, "01"), expected, check_exact=True)
    formats = {name: e["format"] for e in manifest["formats"] for name in e["files"]}
    assert told in formats[FIRST]
    assert formats[SECOND] == "separator comma, decimal dot, utf-8"


def test_the_table_of_runs_may_have_these_forms_too(data: Path, tmp_path: Path) -> None:
    _, expected = read(data, tmp_path)
    text = (TABLE.format(schema.INSPECTION) + ROWS).replace(",", ";").replace("2.5", "2,5")
    (data / "train.csv").unlink()
    (data / "TRAIN.CSV.gz").write_bytes(gzip.compress(text.encode("utf-16")))
    _, table = read(data, tmp_path)
    pd.testing.assert_frame_equal(table, expected)
    runs = pq.read_table(tmp_path / "telemetry" / "runs.parquet")
    assert runs["clamp_pressure"].to_pylist() == [4.0, 2.5]
    (data / "TRAIN.CSV.gz").unlink()
    pd.DataFrame(
        [line.split(",") for line in ROWS.splitlines()],
        columns=TABLE.format(schema.INSPECTION).strip().split(","),
    ).astype({"No": int, "feedrate": float}).to_parquet(data / "train.parquet")
    _, table = read(data, tmp_path)
    pd.testing.assert_frame_equal(table, expected)


@pytest.mark.parametrize(
    "name",
    [
        "experiment_1.csv",
        "experiment_001.csv",
        "EXPERIMENT_01.CSV",
        "Experiment_1.tsv",
        "e.parquet",
    ],
)
def test_names_of_files_are_taken_in_any_usual_spelling(
    data: Path, tmp_path: Path, name: str
) -> None:
    name = "experiment_01.parquet" if name == "e.parquet" else name
    (data / FIRST).unlink()
    if name.endswith("parquet"):
        frame_of(1).to_parquet(data / name)
    else:
        _csv(frame_of(1), data / name)
    manifest, table = read(data, tmp_path)
    pd.testing.assert_frame_equal(rows_of(table, "01"), frame_of(1))
    assert manifest["quirks"]["misnamed_files"] == []


def test_two_files_of_one_number_and_files_of_other_names_are_named(
    data: Path, tmp_path: Path
) -> None:
    _csv(frame_of(3), data / "experiment_1.csv")
    with pytest.raises(ToolwearError, match=r"experiment_01.csv and experiment_1.csv are both"):
        read(data, tmp_path)
    for path in data.glob("experiment_*"):
        path.rename(data / path.name.replace("experiment_", "run"))
    with pytest.raises(ToolwearError, match=r"run01.csv, run02.csv, run1.csv were passed over"):
        read(data, tmp_path)
    (data / "run1.csv").unlink()
    (data / contract.FILE).write_text('[recordings]\nfiles = "run{id}.csv"\n')
    assert read(data, tmp_path)[0]["runs"] == 2


# --- names of columns, units ---------------------------------------------------------------------


def test_other_names_are_proposed_and_the_map_is_taken(data: Path, tmp_path: Path) -> None:
    def theirs(name: str) -> str:
        named = name.replace("1_Actual", "_act_").replace("1_Command", " set ").lower()
        return "STEP" if name == mill.PHASE else named

    for run, name in ((1, FIRST), (2, SECOND)):
        _csv(frame_of(run).rename(columns=theirs), data / name, sep=";", decimal=",")
    with pytest.raises(OtherNamesError, match="under other names") as caught:
        read(data, tmp_path)
    assert "export" not in str(caught.value)
    assert caught.value.rename == {name: theirs(name) for name in NAMES}
    (data / contract.FILE).write_text(rename_table(caught.value.rename))
    _, table = read(data, tmp_path)
    pd.testing.assert_frame_equal(rows_of(table, "01"), frame_of(1))


def test_a_column_of_another_axis_is_not_proposed() -> None:
    assert proposal(["X1_OutputPower"], ["Y1_OutputPower", "coolant"], MILL.phases) == {}
    assert proposal(["X1_OutputPower"], ["x1 output power [kW]"], MILL.phases) == {
        "X1_OutputPower": "x1 output power [kW]"
    }


@pytest.mark.process
def test_a_command_writes_the_map_of_names(data: Path, tmp_path: Path) -> None:
    for run, name in ((1, FIRST), (2, SECOND)):
        _csv(frame_of(run).rename(columns=str.upper), data / name)
    own = tmp_path / "dataset.toml"
    call = [sys.executable, "-m", "toolwear.cli", "data", f"--data={data}"]
    done = _run([*call, f"--write-dataset={own}"])
    assert done.returncode == 0, done.stderr
    assert contract.named(str(own)).columns.rename == {
        name: name.upper() for name in NAMES if name != name.upper()
    }
    done = _run([*call, f"--dataset={own}"])
    assert done.returncode == 0, done.stderr
    assert "24 rows of 2 runs" in done.stdout
    done = _run([*call, f"--write-dataset={own}"])
    assert done.returncode == 2
    assert "is there already" in done.stderr


def _run(call: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(call, capture_output=True, text=True, check=False, cwd=ROOT)


def test_another_zero_and_another_unit_are_taken_away(data: Path, tmp_path: Path) -> None:
    inches = frame_of(1)
    inches["Z1_ActualPosition"] = (29.5 + 6) / 25.4
    _csv(inches, data / FIRST)
    (data / contract.FILE).write_text(
        "[columns.scale]\nZ1_ActualPosition = 25.4\n[columns.offset]\nZ1_ActualPosition = -6\n"
    )
    _, table = read(data, tmp_path)
    assert rows_of(table, "01")["Z1_ActualPosition"].to_numpy() == pytest.approx(29.5)


def test_limits_that_no_row_keeps_are_told_with_what_the_data_has(
    data: Path, tmp_path: Path
) -> None:
    for run, name in ((1, FIRST), (2, SECOND)):
        _csv(frame_of(run).assign(Z1_ActualPosition=35.5), data / name)
    manifest, _ = read(data, tmp_path)
    (warning,) = manifest["warnings"]
    assert warning.startswith(
        "No row counts as cutting: Z1_ActualPosition < 30.2 holds for 0 of 24 rows (values from "
        "35.5 to 35.5). Set this machine's limits in cutting under [rows] in dataset.toml"
    )
    from components.features.step import features

    with pytest.raises(ToolwearError) as caught:
        features(tmp_path / "telemetry", False, 5, 2, tmp_path / "features")
    assert str(caught.value) == warning
    limits = ["Z1_ActualPosition < 36", *contract.default().rows.cutting[1:]]
    (data / contract.FILE).write_text(f"[rows]\ncutting = {limits}\n")
    manifest, _ = read(data, tmp_path)
    assert manifest["warnings"] == []
    assert manifest["cutting"]["rows"] == 24


# --- missing numbers, damage ---------------------------------------------------------------------

SPELLINGS = (
    *("", "NAN", "Nan", "nan", "-nan", "NA", "N/A", "n/a", "null", "NULL", "None", "-", "?"),
    *("#N/A", "1.#QNAN", "-1.#IND", "#DIV/0!", " NaN ", " n/a", "<NA>", "NaT", "missing"),
)


def test_every_spelling_of_a_missing_number_is_counted(data: Path, tmp_path: Path) -> None:
    frame = frame_of(1, rows=len(SPELLINGS) + 2).astype(str)
    column = NAMES[5]
    frame.loc[: len(SPELLINGS) - 1, column] = SPELLINGS
    _csv(frame, data / FIRST)
    manifest, table = read(data, tmp_path)
    assert manifest["quirks"]["nulls"] == {column: len(SPELLINGS)}
    assert rows_of(table, "01")[column].isna().sum() == len(SPELLINGS)
    assert not any(map(is_null, ("0", "1e3", "nano", "inf", "n", "x")))


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("1.5x", "'1.5x' in column 'X1_ActualPosition' is not a number; mend the cell"),
        ("1_000", "is not a number"),
        ("\u0661", "is not a number"),
        ("   ", "is nothing but white space; leave it empty or write NaN"),
        ("1.234.567", "has a thousands separator"),
        ('"1,234.5"', "has a thousands separator"),
    ],
)
def test_what_is_no_number_is_refused_with_its_place(
    data: Path, tmp_path: Path, cell: str, sentence: str
) -> None:
    lines = (data / FIRST).read_text().splitlines()
    lines[6] = ",".join([cell, *lines[6].split(",")[1:]])
    (data / FIRST).write_text("\n".join(lines) + "\n")
    with pytest.raises(ToolwearError) as caught:
        read(data, tmp_path)
    assert str(caught.value).startswith(f"{FIRST} line 7: ")
    assert sentence in str(caught.value)


def test_a_number_with_two_meanings_is_asked_about(data: Path, tmp_path: Path) -> None:
    for run, name in ((1, FIRST), (2, SECOND)):
        frame = frame_of(run).astype(object)
        for column in mill.NUMERIC_COLUMNS:
            frame[column] = f"1,23{run}"
        _csv(frame, data / name, sep=";")
    with pytest.raises(ToolwearError, match=r"'1,231' may be a number with a decimal comma or"):
        read(data, tmp_path)
    (data / contract.FILE).write_text('[format]\ndecimal = ","\n')
    _, table = read(data, tmp_path)
    assert rows_of(table, "01")[NAMES[0]].tolist() == [1.231] * 12


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (gzip.compress(b"a,b\n" * 5000, mtime=0)[:-20], "can't be unpacked (gzip): it is cut off"),
        (bz2.compress(b"a,b\n" * 5000)[:-20], "can't be unpacked (bz2): it is cut off"),
        (b"PK\x03\x04" + bytes(30), "is an Excel workbook or a zip archive, not text"),
        (b"PAR1" + bytes(30), "can't be read as Parquet: it is cut off or damaged"),
        (b"", "is empty"),
        (bytes(range(256)) * 20, "is not text"),
        (b"time;value\n1;2\n", "lacks the column 'X1_ActualPosition' and 47 more; export with"),
    ],
    ids=["gzip", "bzip2", "zip", "Parquet", "empty", "binary", "other columns"],
)
def test_a_file_of_another_kind_is_one_sentence(
    data: Path, tmp_path: Path, content: bytes, sentence: str
) -> None:
    (data / FIRST).write_bytes(content)
    with pytest.raises(ToolwearError) as caught:
        read(data, tmp_path)
    assert sentence in str(caught.value)
    assert FIRST in str(caught.value)


@pytest.mark.process
def test_a_refusal_ends_the_process_and_aborts_nothing(data: Path, tmp_path: Path) -> None:
    """A thread that still read when the interpreter ended has aborted some of these processes."""
    lines = frame_of(1, rows=4000).to_csv(index=False).splitlines()
    lines[9] = "oops" + lines[9]
    (data / FIRST).write_text("\n".join(lines) + "\n")
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from toolwear.dataset.contract import default\n"
        "from toolwear.common.errors import ToolwearError\n"
        "from toolwear.dataset.run_file import FileNotes, read_batches\n"
        "try:\n"
        "    next(read_batches(Path(sys.argv[1]), default(), FileNotes()))\n"
        "except ToolwearError as error:\n"
        "    sys.exit(2)\n"
    )
    codes = [
        subprocess.run(
            [sys.executable, "-c", code, str(data / FIRST)], cwd=ROOT, check=False
        ).returncode
        for _ in range(5)
    ]
    assert codes == [2] * 5


# --- several recordings in one file, recordings without a label -----------------------------------


def _both(data: Path, **column: Any) -> pd.DataFrame:
    return pd.concat([frame_of(1), frame_of(2)], ignore_index=True).assign(**column)


def test_two_recordings_in_one_file_are_seen_by_their_phases(data: Path, tmp_path: Path) -> None:
    _csv(_both(data), data / FIRST)
    with pytest.raises(ToolwearError) as caught:
        read(data, tmp_path)
    assert "experiment_01.csv holds more than one recording" in str(caught.value)
    assert "start again at row 13 (Prep after End)" in str(caught.value)
    (data / contract.FILE).write_text("[recordings]\nphases_in_order = false\n")
    assert read(data, tmp_path)[0]["rows"] == 36


def test_two_recordings_in_one_file_are_seen_by_a_column(data: Path, tmp_path: Path) -> None:
    same = frame_of(1).assign(**{mill.PHASE: "Layer 1 Up"})
    for name, values, sentence in (
        ("Run", [7, 8], r"its column 'Run' has 2 values \(7, 8\).*id = \"Run\""),
        ("time", [0.0, 0.0], "its column 'time' starts again at row 13"),
    ):
        parts = [
            same.assign(**{name: value + (np.arange(12) * 0.1 if name == "time" else 0)})
            for value in values
        ]
        _csv(pd.concat(parts), data / FIRST)
        with pytest.raises(ToolwearError, match=sentence):
            read(data, tmp_path)
    _csv(same.assign(no=np.arange(12)), data / FIRST)  # numbers the rows, not recordings
    assert read(data, tmp_path)[0]["rows"] == 24


@pytest.mark.parametrize("woven", [False, True])
def test_a_column_divides_recordings_wherever_their_rows_stand(
    data: Path, tmp_path: Path, woven: bool
) -> None:
    both = _both(data, Versuch=[1.0] * 12 + [2.0] * 12)
    if woven:
        both = both.iloc[np.arange(24).reshape(2, 12).T.ravel()]
    for name in (FIRST, SECOND):
        (data / name).unlink()
    _csv(both, data / "all.csv", sep=";", decimal=",")
    (data / contract.FILE).write_text('[recordings]\nfile = "all.csv"\nid = "Versuch"\n')
    manifest, table = read(data, tmp_path)
    assert manifest["runs"] == 2
    pd.testing.assert_frame_equal(rows_of(table, "01"), frame_of(1))
    pd.testing.assert_frame_equal(rows_of(table, "02"), frame_of(2))
    assert manifest["digest"] == source_digest(data)
    both["Versuch"] = "A"
    _csv(both, data / "all.csv")
    with pytest.raises(ToolwearError, match="'A' in column 'Versuch' is no whole number"):
        read(data, tmp_path)


def test_an_upload_is_read_in_any_form_and_one_recording_at_a_time(data: Path) -> None:
    from serving.console.recordings import uploaded

    settings = {"feedrate": "6", "clamp_pressure": "4"}
    text = frame_of(1).to_csv(index=False, sep=";", decimal=",")
    found = uploaded(io.BytesIO(gzip.compress(text.encode())), "a.csv.gz", settings, MILL)
    assert len(found.frame) == 12
    with pytest.raises(ToolwearError, match=r"more than one recording: its phases start again"):
        uploaded(
            io.BytesIO(_both(data).to_csv(index=False).encode()),
            "b.csv",
            settings,
            MILL,
        )


def test_phases_of_one_recording_never_go_back(real_data: Path) -> None:
    order = [name for name in MILL.phases.names if name not in MILL.phases.at_any_time]
    for path in sorted(real_data.glob("experiment_*.csv")):
        assert phase_restart(pd.read_csv(path)[mill.PHASE].tolist(), order) is None
    assert phase_restart(["End", "Repositioning", None, "Prep"], order) == (3, "End", "Prep")


def test_a_recording_without_a_label_is_read_and_never_taught_from(
    data: Path, tmp_path: Path
) -> None:
    with (data / "train.csv").open("a") as table:
        table.write("3,wax,6,4,,yes,yes\n")
    _csv(frame_of(3), data / "experiment_3.csv")
    _csv(frame_of(4), data / "experiment_4.csv")
    (data / "experiment_5.csv").write_text("half")
    manifest, table_of_rows = read(data, tmp_path)
    assert [entry["run"] for entry in manifest["unlabelled"]] == ["03", "04", "05"]
    assert [entry["rows"] for entry in manifest["unlabelled"]] == [12, 12, 0]
    assert "experiment_5.csv lacks the column" in manifest["unlabelled"][2]["fault"]
    assert set(table_of_rows[schema.RUN_ID]) == {"01", "02"}
    assert "Run 03 was left out: its label is empty." in manifest["warnings"]


def test_words_and_columns_of_the_table_may_be_others(data: Path, tmp_path: Path) -> None:
    text = (data / "train.csv").read_text()
    text = text.replace("unworn", "neuf").replace(",worn", ",Usé").replace("feedrate", "Feed rate")
    (data / "train.csv").write_text(text)
    with pytest.raises(ToolwearError, match=r"is it 'Feed rate'\? Say so in feedrate under"):
        read(data, tmp_path)
    (data / contract.FILE).write_text(
        '[label]\nnegative = ["neuf"]\npositive = ["usé"]\n[settings]\nfeedrate = "Feed rate"\n'
    )
    read(data, tmp_path)
    runs = pq.read_table(tmp_path / "telemetry" / "runs.parquet")
    assert runs[schema.CONDITION].to_pylist() == ["unworn", "worn"]
