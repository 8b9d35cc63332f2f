"""Reading recordings: the real files' quirks, and every kind of damage."""

from __future__ import annotations

import errno
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core import jsonfile, schema
from components.core.errors import ToolwearError
from components.ingest import newlines, step
from components.ingest.newlines import UniversalNewlines
from components.ingest.sources import source_digest


@given(
    st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"bc"])).map(b"".join),
    st.integers(1, 7),
)
def test_newlines_are_translated_whatever_the_blocks(data: bytes, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(newlines, "_BLOCK", block)
        found = io.BufferedReader(UniversalNewlines(io.BytesIO(data)), 1).read()
    assert found == data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def test_the_real_recordings_are_read_and_their_quirks_counted(
    telemetry: Path, real_data: Path
) -> None:
    manifest = jsonfile.read(telemetry / "manifest.json")
    assert (manifest["rows"], manifest["runs"]) == (25_286, 18)
    assert manifest["digest"] == source_digest(real_data)
    assert manifest["source"]["kind"] == "folder"
    quirks = manifest["quirks"]
    assert quirks["carriage_return_files"] == ["experiment_12.csv"]
    assert quirks["phase_spellings"] == {"end": 8}
    assert quirks["rare_phases"]["Starting"] == 1
    assert {name: fault["rows"] for name, fault in quirks["sensor_faults"].items()} == {
        schema.CURRENT_FEEDRATE: 6253,
        "X1_ActualPosition": 4360,
        schema.PROGRAM_NUMBER: 24581,
    }


def test_values_are_those_of_the_files(telemetry: Path, real_data: Path) -> None:
    table = pq.read_table(telemetry / "part-00000.parquet").to_pandas()
    for number in (1, 12, 18):
        recorded = pd.read_csv(real_data / f"experiment_{number:02d}.csv")
        mine = table[table[schema.RUN_ID] == schema.run_id(number)].reset_index(drop=True)
        names = list(schema.NUMERIC_COLUMNS)
        assert np.array_equal(mine[names].to_numpy(), recorded[names].to_numpy(float))
        assert list(mine[schema.ROW]) == list(range(len(recorded)))
        assert "end" not in set(mine[schema.PHASE])
    step_sizes = table.groupby(schema.RUN_ID)[schema.EVENT_TIME].diff().dropna().unique()
    assert list(step_sizes) == [pd.Timedelta(milliseconds=100)]


@pytest.fixture
def small(real_data: Path, tmp_path: Path) -> Path:
    """Return a folder with the head of four real runs, to be damaged."""
    folder = tmp_path / "small"
    folder.mkdir()
    for number in (1, 2, 6, 12):
        lines = (real_data / f"experiment_{number:02d}.csv").read_text().splitlines()[:121]
        (folder / f"experiment_{number:02d}.csv").write_text("\n".join(lines) + "\n")
    table = (real_data / "train.csv").read_text().splitlines()
    kept = [table[0], *(table[number] for number in (1, 2, 6, 12))]
    (folder / "train.csv").write_text("\n".join(kept) + "\n")
    return folder


def read(folder: Path, **given_values: str) -> dict[str, object]:
    return step.ingest(
        data=str(folder),
        data_digest=given_values.get("data_digest", ""),
        allow_simulator=False,
        output=folder.parent / "out",
    )


def replace(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / name
    path.write_text(path.read_text().replace(old, new, 1))


def _cut(folder: Path) -> None:
    path = folder / "experiment_02.csv"
    path.write_text(path.read_text()[:-60])


def _no_table(folder: Path) -> None:
    (folder / "train.csv").unlink()


def _empty(folder: Path) -> None:
    (folder / "experiment_02.csv").write_text("")


def _header_only(folder: Path) -> None:
    path = folder / "experiment_02.csv"
    path.write_text(path.read_text().splitlines()[0] + "\n")


def _extra_column(folder: Path) -> None:
    path = folder / "experiment_02.csv"
    path.write_text("\n".join(f"{line},x" for line in path.read_text().splitlines()))


def _binary(folder: Path) -> None:
    (folder / "experiment_02.csv").write_bytes(bytes(range(256)) * 400)


def _same_file(folder: Path) -> None:
    shutil.copy(folder / "experiment_01.csv", folder / "experiment_02.csv")


def _one_run(folder: Path) -> None:
    for number in (2, 6, 12):
        (folder / f"experiment_{number:02d}.csv").unlink()


def _text_in_number(folder: Path) -> None:
    replace(
        folder,
        "experiment_02.csv",
        "\n",
        "\nabc",
    )


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_no_table, "train.csv is missing"),
        (_empty, "experiment_02.csv is empty; record the run again"),
        (_header_only, "experiment_02.csv holds no rows"),
        (_cut, "cells instead of 48; the file is cut off"),
        (_extra_column, "experiment_02.csv has a column too many, 'x'"),
        (_binary, "experiment_02.csv is not UTF-8 text"),
        (_same_file, "Runs 1 and 2 have the same file twice"),
        (_one_run, "Only 1 run has both a label and a file"),
        (_text_in_number, "in column 'X1_ActualPosition' is not a number"),
        (lambda f: replace(f, "experiment_01.csv", "X1_ActualPosition", "X"), "lacks the column"),
        (lambda f: replace(f, "train.csv", "unworn", "blunt"), "condition 'blunt' is neither"),
        (lambda f: replace(f, "train.csv", ",6,4", ",fast,4"), "'fast' in column 'feedrate'"),
        (lambda f: replace(f, "train.csv", "\n2,", "\n1,"), "names run 1 more than once"),
        (lambda f: replace(f, "train.csv", "feedrate", "speed"), "lacks the column 'feedrate'"),
        (lambda f: replace(f, "train.csv", "6,wax,6,4,worn", "6,wax,6,4,unworn"), "All runs are"),
        (lambda f: replace(f, "train.csv", "yes,yes", "maybe,yes"), "is none of yes, no"),
    ],
)
def test_damage_gets_one_sentence(
    small: Path, damage: Callable[[Path], None], sentence: str
) -> None:
    damage(small)
    with pytest.raises(ToolwearError) as caught:
        read(small)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (small.parent / "out").exists()
    assert {path.name for path in small.parent.iterdir()} == {"small"}


def test_a_label_without_a_file_and_a_file_without_a_label_are_reported(small: Path) -> None:
    (small / "experiment_12.csv").unlink()
    shutil.copy(small / "experiment_02.csv", small / "experiment_30.csv")
    manifest = read(small)
    assert manifest["runs"] == 3
    assert manifest["quirks"]["excluded"] == [  # type: ignore[index]
        {"run": "12", "reason": "the table names it but there is no file"},
        {"run": "30", "reason": "there is a file but no label"},
    ]
    assert any("Run 12 was left out" in str(w) for w in manifest["warnings"])  # type: ignore[attr-defined]


@pytest.mark.parametrize("ends", ["\r", "\r\n"])
def test_line_ends_a_mark_and_the_columns_order_do_not_matter(small: Path, ends: str) -> None:
    read(small)
    plain = pq.read_table(small.parent / "out" / "part-00000.parquet")
    path = small / "experiment_02.csv"
    frame = pd.read_csv(path, dtype=str)
    text = frame[frame.columns[::-1]].to_csv(index=False, lineterminator=ends)
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    manifest = read(small)
    assert pq.read_table(small.parent / "out" / "part-00000.parquet").equals(plain)
    assert manifest["quirks"]["reordered_files"] == ["experiment_02.csv"]  # type: ignore[index]


def test_empty_cells_become_null_and_are_counted(small: Path) -> None:
    path = small / "experiment_02.csv"
    lines = path.read_text().splitlines()
    lines[5] = "," + lines[5].split(",", 1)[1]
    lines[6] = "NaN," + lines[6].split(",", 1)[1]
    path.write_text("\n".join(lines))
    manifest = read(small)
    assert manifest["quirks"]["nulls"] == {"X1_ActualPosition": 2}  # type: ignore[index]


def test_changed_recordings_are_refused(small: Path) -> None:
    before = source_digest(small)
    replace(small, "train.csv", "wax", "steel")
    with pytest.raises(ToolwearError, match="changed since the run was submitted"):
        read(small, data_digest=before)


@pytest.mark.parametrize(
    ("number", "sentence"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only")]
)
def test_a_full_disk_is_a_sentence(
    small: Path, monkeypatch: pytest.MonkeyPatch, number: int, sentence: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(step.pq, "write_table", full)
    with pytest.raises(ToolwearError, match=sentence):
        read(small)
    assert {path.name for path in small.parent.iterdir()} == {"small"}


def test_no_source_at_all_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from components.ingest import sources

    monkeypatch.setattr(sources, "_from_kaggle", lambda: None)
    with pytest.raises(ToolwearError, match="give a folder of recordings with --data"):
        step.ingest(data="", data_digest="", allow_simulator=False, output=tmp_path / "out")
    with pytest.raises(ToolwearError, match="There is no folder"):
        source_digest(tmp_path / "none")


def test_runs_longer_than_a_row_group_and_a_part(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.ingest import writer

    whole = read(small)
    plain = pq.read_table(small.parent / "out" / "part-00000.parquet")
    monkeypatch.setattr(writer, "ROW_GROUP_ROWS", 50)
    monkeypatch.setattr(writer, "ROWS_PER_PART", 200)
    parts = read(small)
    assert parts == whole
    files = sorted((small.parent / "out").glob("part-*.parquet"))
    assert len(files) == 2
    assert pq.ParquetFile(files[0]).metadata.num_row_groups > 1
    assert pq.read_table(files).equals(plain)
