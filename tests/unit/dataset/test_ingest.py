"""Reading recordings: what is read as it stands, and the sentence for what is damaged."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components.ingest.step import ingest
from datasets.cnc_mill import names as mill
from datasets.cnc_mill.simulator import SimulatorSettings, simulate
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.dataset import schema, writer
from toolwear.dataset.contract import SIMULATED_FILE, default
from toolwear.dataset.run_table import read_run_table
from toolwear.dataset.sources import source_digest

FIRST, SECOND = "experiment_01.csv", "experiment_02.csv"
HEADER = ",".join(mill.RAW_COLUMNS)
ROW = ",".join(["1.5"] * len(mill.NUMERIC_COLUMNS))
TABLE = ",".join(mill.RUN_TABLE_COLUMNS)

Change = Callable[[bytes], bytes]


def _recording(rows: int = 3, value: str = "1.5", phase: str = "Prep") -> str:
    row = ",".join([value] * len(mill.NUMERIC_COLUMNS))
    return "\n".join([HEADER, *[f"{row},{phase}"] * rows]) + "\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder of two small runs."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "train.csv").write_text(f"{TABLE}\n1,wax,6,4,unworn,yes,yes\n2,wax,20,2.5,worn,no,\n")
    (folder / FIRST).write_text(_recording(3, "1.5"))
    (folder / SECOND).write_text(_recording(4, "2.5"))
    return folder


def _ingest(data: Path, tmp_path: Path, digest: str = "") -> tuple[dict[str, Any], pa.Table]:
    output = tmp_path / "telemetry"
    manifest = ingest(str(data), digest, allow_simulator=False, output=output)
    parts = sorted(output.glob("part-*.parquet"))
    return manifest, pa.concat_tables([pq.read_table(part) for part in parts])


def _change(path: Path, change: Change) -> None:
    path.write_bytes(change(path.read_bytes()))


# --- what is read ----------------------------------------------------------------------------


def test_rows_are_typed_numbered_and_timed(data: Path, tmp_path: Path) -> None:
    manifest, table = _ingest(data, tmp_path)
    assert table.column_names == [
        schema.RUN_ID,
        schema.ROW,
        schema.EVENT_TIME,
        *mill.RAW_COLUMNS,
    ]
    assert table[schema.RUN_ID].to_pylist() == ["01"] * 3 + ["02"] * 4
    assert table[schema.ROW].to_pylist() == [0, 1, 2, 0, 1, 2, 3]
    times = table[schema.EVENT_TIME].to_pylist()
    assert (times[1] - times[0]).total_seconds() == pytest.approx(0.1)
    assert (times[3] - times[0]).days == 1
    assert table.schema.field(mill.NUMERIC_COLUMNS[0]).type == pa.float64()
    assert manifest["rows"] == 7
    assert manifest["runs"] == 2
    assert manifest["source"] == {"kind": "folder", "location": "recordings"}
    (warning,) = manifest["warnings"]
    assert warning.startswith(
        "No row counts as cutting: S1_ActualVelocity > 52 holds for 0 of 7 rows "
        "(values from 1.5 to 2.5)."
    )


def test_the_table_of_runs_is_typed(data: Path, tmp_path: Path) -> None:
    _ingest(data, tmp_path)
    runs = pq.read_table(tmp_path / "telemetry" / "runs.parquet").to_pylist()
    assert [run[schema.LABEL] for run in runs] == [0, 1]
    assert [run[schema.SETTING] for run in runs] == ["6/4", "20/2.5"]
    assert [run["rows"] for run in runs] == [3, 4]
    assert [run[schema.FINALIZED] for run in runs] == [True, False]
    assert [run[schema.INSPECTION] for run in runs] == [True, None]


def _with_mark_and_quotes(content: bytes) -> bytes:
    quoted = content.replace(b"Prep", b'"Prep"').replace(b"X1_", b'"X1_', 1)
    quoted = quoted.replace(b"ActualPosition", b'ActualPosition"', 1)
    return b"\xef\xbb\xbf" + quoted


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: content.replace(b"\n", b"\r"),
        lambda content: content.rstrip(b"\n"),
        lambda content: content + b"\n\r\n\n",
        _with_mark_and_quotes,
    ],
    ids=["crlf", "cr", "no last line end", "blank lines", "mark and quotes"],
)
def test_spellings_of_csv_are_read_alike(data: Path, tmp_path: Path, change: Change) -> None:
    _, expected = _ingest(data, tmp_path)
    _change(data / FIRST, change)
    manifest, table = _ingest(data, tmp_path)
    assert table == expected
    is_bare = change(b"\n") == b"\r"
    assert manifest["quirks"]["carriage_return_files"] == ([FIRST] if is_bare else [])


def test_columns_are_taken_by_name(data: Path, tmp_path: Path) -> None:
    names = list(reversed(mill.RAW_COLUMNS))
    cells = ["Prep", *(str(float(i)) for i in range(len(names) - 1))]
    (data / FIRST).write_text(",".join(names) + "\n" + ",".join(cells) + "\n")
    manifest, table = _ingest(data, tmp_path)
    assert table[names[1]][0].as_py() == 0.0
    assert table[names[-1]][0].as_py() == len(names) - 2
    assert manifest["quirks"]["reordered_files"] == [FIRST]


def test_oddities_are_counted_and_left(data: Path, tmp_path: Path) -> None:
    content = _recording(2, "50", "end") + _recording(1, "inf", "Milling").split("\n", 1)[1]
    (data / FIRST).write_text(content.replace("50,50,", "198,,", 1))
    manifest, table = _ingest(data, tmp_path)
    quirks = manifest["quirks"]
    assert quirks["phase_spellings"] == {"end": 2}
    assert table[mill.PHASE].to_pylist()[:3] == ["End", "End", "Milling"]
    assert quirks["unknown_phases"] == {"Milling": 1}
    assert quirks["sensor_faults"][mill.CURRENT_FEEDRATE] == {"value": "50", "rows": 2}
    assert quirks["sensor_faults"][mill.NUMERIC_COLUMNS[0]] == {"value": "198", "rows": 1}
    assert quirks["sensor_faults"][mill.PROGRAM_NUMBER] == {"value": "not 0", "rows": 7}
    assert quirks["nulls"] == {mill.NUMERIC_COLUMNS[1]: 1}
    assert set(quirks["infinities"].values()) == {1}
    assert table[mill.NUMERIC_COLUMNS[0]][0].as_py() == 198.0
    assert table[mill.NUMERIC_COLUMNS[1]][0].as_py() is None


def test_runs_without_label_or_file_are_left_out_and_told(data: Path, tmp_path: Path) -> None:
    _change(data / "train.csv", lambda content: content + b"7,wax,3,3,worn,yes,no\n")
    (data / "experiment_09.csv").write_text(_recording(2, "9"))
    (data / "run_5.csv").write_text(_recording(2, "5"))
    manifest, table = _ingest(data, tmp_path)
    assert manifest["unlabelled"] == [
        {"run": "09", "file": "experiment_09.csv", "rows": 2, "fault": ""}
    ]
    assert manifest["quirks"]["excluded"] == [
        {"run": "07", "reason": "the table names it but there is no file"},
        {"run": "09", "reason": "there is a file but no label"},
    ]
    assert manifest["quirks"]["misnamed_files"] == ["run_5.csv"]
    assert len(manifest["warnings"]) == 4
    assert table.num_rows == 7


def test_runs_beyond_99_stay_in_number_order(data: Path, tmp_path: Path) -> None:
    (data / "experiment_100.csv").write_text(_recording(1, "100"))
    _change(data / "train.csv", lambda content: content + b"100,wax,3,3,worn,yes,no\n")
    _, table = _ingest(data, tmp_path)
    assert table[schema.RUN_ID].to_pylist() == ["01"] * 3 + ["02"] * 4 + ["100"]


def test_parts_and_row_groups_are_bounded(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "ROW_GROUP_ROWS", 2)
    monkeypatch.setattr(writer, "ROWS_PER_PART", 3)
    _ingest(data, tmp_path)
    parts = sorted((tmp_path / "telemetry").glob("part-*.parquet"))
    assert [pq.read_table(part)[schema.RUN_ID].to_pylist() for part in parts] == [
        ["01"] * 3,
        ["02"] * 4,
    ]
    for part in parts:
        metadata = pq.ParquetFile(part).metadata
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        assert max(sizes) <= 2


# --- what is refused -------------------------------------------------------------------------


def _no_rows(content: bytes) -> bytes:
    return content.split(b"\n", 1)[0] + b"\n"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda content: b"", "experiment_01.csv is empty"),
        (lambda content: b"\xef\xbb\xbf\r\n", "experiment_01.csv is empty"),
        (_no_rows, "experiment_01.csv holds no rows"),
        (lambda content: content[:-30], "line 4 is cut off: it has 41 cells rather than 48"),
        (lambda content: content[:-2], "is cut off: its last row ends in 'Pre'"),
        (
            lambda content: content.replace(b"\n1.5,1.5,", b"\n1.5,oops,", 1),
            "line 2: 'oops' in column 'X1_ActualVelocity' is not a number; mend the cell",
        ),
        (
            lambda content: content.replace(b"\n1.5,", b"\n\n1.5,9,", 1),
            "line 3 has 49 cells rather than 48",
        ),
        (lambda content: content.replace(b"\n1.5,", b"\n  ,", 1), "is nothing but white space"),
        (lambda content: b"\x89PNG\x01\x02" * 20, "experiment_01.csv is not text"),
        (
            lambda content: content.replace(b"X1_ActualPosition,", b"", 1),
            "lacks the column 'X1_ActualPosition'; export with these columns",
        ),
        (
            lambda content: content.replace(b"X1_ActualPosition", b"Extra,X1_ActualPosition", 1),
            "line 2 has 48 cells rather than 49",
        ),
        (
            lambda content: content.replace(b"X1_", b"X1_ActualPosition,X1_", 1),
            "line 1 names the column 'X1_ActualPosition' twice",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("line_end", [b"\n", b"\r"], ids=["lf", "cr"])
def test_a_damaged_file_is_named_with_the_place(
    data: Path, tmp_path: Path, change: Change, sentence: str, line_end: bytes
) -> None:
    _change(data / FIRST, change)
    if b"\x00" not in (data / FIRST).read_bytes():
        _change(data / FIRST, lambda content: content.replace(b"\n", line_end))
    with pytest.raises(ToolwearError) as caught:
        _ingest(data, tmp_path)
    assert sentence in str(caught.value)
    assert FIRST in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["recordings"]


def test_damage_deep_in_a_file_is_found_at_its_line(data: Path, tmp_path: Path) -> None:
    lines = _recording(60_000).split("\n")
    lines[50_000] = lines[50_000].replace("1.5", "1.5x", 1)
    (data / FIRST).write_text("\n".join(lines))
    with pytest.raises(ToolwearError, match=r"line 50001: '1\.5x' in column 'X1_ActualPosition'"):
        _ingest(data, tmp_path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda content: content.replace(b",worn", b",blunt"), "line 3: 'blunt' in column"),
        (lambda content: content.replace(b",worn", b",unworn"), "All runs are unworn"),
        (lambda content: content.replace(b"wax,6", b"wax,fast"), "line 2: 'fast' in column"),
        (lambda content: content.replace(b"wax,6", b"wax,nan"), "is not a number above 0"),
        (lambda content: content.replace(b"\n2,", b"\n1,"), "names run 1 more than once"),
        (lambda content: content.replace(b"\n2,", b"\n2.5,"), "'2.5' in column 'No' is no whole"),
        (lambda content: content.replace(b"\n2,", b"\n99999,"), "is no whole number from 1 to"),
        (lambda content: content.replace(b"yes,yes", b"maybe,yes"), "none of yes, no"),
        (lambda content: content.replace(b"material,", b""), "lacks the column 'material'"),
        (lambda content: content.replace(b",no,", b",no"), "line 3 has 6 cells rather than 7"),
        (lambda content: content.split(b"\n")[0], "train.csv holds no runs"),
        (lambda content: b"\n".join(content.split(b"\n")[:2]), "at least two are needed"),
        (lambda content: b"\x00\x01\x02" + content, "train.csv is not text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_table_of_runs_is_refused(
    data: Path, tmp_path: Path, change: Change, sentence: str
) -> None:
    _change(data / "train.csv", change)
    with pytest.raises(ToolwearError) as caught:
        _ingest(data, tmp_path)
    assert sentence in str(caught.value)


def test_the_table_of_runs_may_be_spelt_in_other_ways(data: Path) -> None:
    table = data / "train.csv"
    expected, _ = read_run_table(table, default())
    header, *rows = table.read_text().splitlines()
    swapped = [",".join(reversed(line.split(","))) for line in (header, *rows)]
    table.write_text("\ufeff" + "\r".join(swapped).replace(",worn", ", Worn") + "\r\r")
    assert read_run_table(table, default())[0] == expected


def test_a_folder_without_recordings_is_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolwearError, match="There is no folder /no/such"):
        _ingest(Path("/no/such"), tmp_path)
    (data / "train.csv").unlink()
    with pytest.raises(ToolwearError, match=r"lacks train.csv, the table of runs"):
        _ingest(data, tmp_path)
    with pytest.raises(ToolwearError, match=r"lacks train.csv, the table of runs"):
        source_digest(data)


def test_one_file_under_two_names_is_refused(data: Path, tmp_path: Path) -> None:
    (data / SECOND).write_bytes((data / FIRST).read_bytes())
    with pytest.raises(ToolwearError, match=f"{FIRST} and {SECOND} are the same recording"):
        _ingest(data, tmp_path)


# --- digest, atomicity, memory ---------------------------------------------------------------


def test_the_digest_tells_names_and_bytes(data: Path, tmp_path: Path) -> None:
    digest = source_digest(data)
    manifest, _ = _ingest(data, tmp_path, digest)
    assert manifest["digest"] == digest
    (data / "notes.txt").write_text("no recording")
    assert source_digest(data) == digest
    _change(data / FIRST, lambda content: content.replace(b"1.5", b"1.6", 1))
    assert source_digest(data) != digest
    with pytest.raises(ToolwearError, match="the data changed since the run was submitted"):
        _ingest(data, tmp_path, digest)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_cannot_be_written_is_a_sentence(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(pq.ParquetWriter, "write_table", fail)
    with pytest.raises(ToolwearError, match="telemetry can't be used: the "):
        _ingest(data, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recordings"]


def test_an_output_below_a_file_is_a_sentence(data: Path) -> None:
    with pytest.raises(ToolwearError, match="a part of its path is a file"):
        ingest(str(data), "", allow_simulator=False, output=data / FIRST / "telemetry")


@pytest.mark.process
def test_a_killed_ingest_leaves_nothing_that_looks_whole(data: Path, tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from components.ingest import step\n"
        "step.jsonfile.write = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "step.ingest(sys.argv[1], '', allow_simulator=False, output=Path(sys.argv[2]))\n"
    )
    output = tmp_path / "telemetry"
    done = subprocess.run(
        [sys.executable, "-c", code, str(data), str(output)], cwd=ROOT, check=False
    )
    assert done.returncode == -9
    assert not output.exists()
    manifest, _ = _ingest(data, tmp_path)
    assert jsonfile.read(output / "manifest.json") == manifest


@pytest.mark.process
def test_memory_does_not_grow_with_a_run(tmp_path: Path) -> None:
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from toolwear.dataset.contract import default\n"
        "from toolwear.dataset.run_file import FileNotes, read_batches\n"
        "batches = read_batches(Path(sys.argv[1]), default(), FileNotes())\n"
        "rows = sum(batch.num_rows for batch in batches)\n"
        "print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    peaks = []
    for rows in (50_000, 400_000):
        path = tmp_path / f"{rows}.csv"
        with path.open("w") as stream:
            stream.write(HEADER + "\r")
            for _ in range(rows // 1000):
                stream.write(f"{ROW},Prep\r" * 1000)
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        count, peak = map(int, done.stdout.split())
        assert count == rows
        peaks.append(peak // 1024)  # MiB
    assert path.stat().st_size > 70 * 2**20
    assert peaks[1] - peaks[0] < 60, peaks


# --- Kaggle and the simulator ----------------------------------------------------------------


def test_simulated_folders_are_told_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "simulated"
    simulate(SimulatorSettings.without_traps(runs=2), folder)
    manifest, _ = _ingest(folder, tmp_path)
    assert manifest["source"]["kind"] == "simulator"
    assert "SIMULATED" in manifest["warnings"][0]
    assert manifest["warnings"][0] in capsys.readouterr().out
    digest = source_digest(folder)
    (folder / SIMULATED_FILE).unlink()
    assert source_digest(folder) != digest


def _unreachable(_: str) -> str:
    import requests  # type: ignore[import-untyped]

    raise requests.exceptions.ConnectionError("no network")


def test_the_simulator_stands_in_only_if_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("kagglehub.dataset_download", _unreachable)
    output = tmp_path / "telemetry"
    with pytest.raises(ToolwearError, match="out of reach and the simulator is not allowed"):
        ingest("", "", allow_simulator=False, output=output)
    manifest = ingest("", "", allow_simulator=True, output=output)
    assert manifest["source"] == {"kind": "simulator", "location": "simulator"}
    assert manifest["rows"] == 25_286
    assert "SIMULATED" in manifest["warnings"][0]
    assert "SIMULATED telemetry stands in" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["telemetry"]


def test_what_kaggle_hands_over_is_read(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kagglehub.dataset_download", lambda _: str(data))
    manifest = ingest("", "", allow_simulator=False, output=tmp_path / "telemetry")
    assert manifest["source"] == {"kind": "kaggle", "location": default().dataset.kaggle}
    assert manifest["rows"] == 7


def test_a_full_disk_is_not_taken_for_a_lost_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: str) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("kagglehub.dataset_download", full)
    with pytest.raises(ToolwearError, match="the disk is full"):
        ingest("", "", allow_simulator=True, output=tmp_path / "telemetry")


# --- the real recordings ---------------------------------------------------------------------


def test_the_real_recordings_are_read_whole(telemetry: Path, real_data: Path) -> None:
    manifest = jsonfile.read(telemetry / "manifest.json")
    assert manifest["rows"] == 25_286
    assert manifest["runs"] == 18
    quirks = manifest["quirks"]
    assert quirks["carriage_return_files"] == ["experiment_12.csv"]
    assert quirks["phase_spellings"] == {"end": 8}
    assert quirks["rare_phases"] == {"Starting": 1, "end": 8}
    assert quirks["nulls"] == {}
    assert {name: fault["rows"] for name, fault in quirks["sensor_faults"].items()} == {
        mill.CURRENT_FEEDRATE: 6253,
        mill.NUMERIC_COLUMNS[0]: 4360,
        mill.PROGRAM_NUMBER: 24_581,
    }
    assert manifest["digest"] == source_digest(real_data)
    table = pq.read_table(telemetry / "part-00000.parquet", columns=[mill.PHASE, schema.RUN_ID])
    active = pc.is_in(table[mill.PHASE], pa.array(mill.ACTIVE_PHASES))
    assert pc.sum(active).as_py() == 17_520
    assert set(table[mill.PHASE].unique().to_pylist()) == set(mill.PHASES)


@pytest.mark.parametrize("number", [1, 12, 18])
def test_values_are_those_of_the_files(telemetry: Path, real_data: Path, number: int) -> None:
    table = pq.read_table(telemetry / "part-00000.parquet").to_pandas()
    mine = table[table[schema.RUN_ID] == schema.run_id(number)]
    recorded = pd.read_csv(real_data / mill.RUN_FILE_PATTERN.format(number=number))
    names = list(mill.NUMERIC_COLUMNS)
    assert np.array_equal(mine[names].to_numpy(), recorded[names].to_numpy(float))
    assert list(mine[schema.ROW]) == list(range(len(recorded)))
