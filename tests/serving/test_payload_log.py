"""The payload log: never waits, never loses what it has taken, never outgrows its bound."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serving.payload import segments
from serving.payload.log import DROPPED, Limits, PayloadLog, find, newest, read
from serving.payload.records import NAMES, Labels, Scored, label_batch
from tests.serving.conftest import environment
from toolwear.common.fingerprint import ROOT

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
COLUMNS = ("a", "b")


def scored(
    receipt: str, rows: int = 2, columns: tuple[str, ...] = COLUMNS, at: datetime = NOON
) -> Scored:
    proof = {name: name[:3] for name in ("model", "model_version", "package_digest")}
    return Scored(
        receipt_id=receipt,
        request_id=None,
        recording=None,
        answered_at=at,
        proof=proof | {"model_sha256": "5", "data_digest": "d", "commit": "c"},
        kind="entity",
        run_ids=["07"] * rows,
        timestamps=[NOON - timedelta(hours=1)] * rows,
        stale=[False] * rows,
        cutting=[None] * rows,
        regimes=[6.0] * rows,
        columns=columns,
        values=np.arange(float(rows * len(columns))).reshape(rows, -1),
        probability=np.array([0.25] * (rows - 1) + [np.nan]),
        labels=["unworn"] * (rows - 1) + [None],
        verdicts=["unworn"] * (rows - 1) + ["not_sure"],
        reasons=[""] * (rows - 1) + ["no window"],
        latency_ms=1.5,
    )


def started(home: Path, **limits: float) -> PayloadLog:
    log = PayloadLog(home, Limits(**limits))  # type: ignore[arg-type]
    log.start()
    return log


def names(home: Path) -> list[str]:
    return sorted(path.name for path in segments.folder(home).iterdir())


def test_what_was_answered_can_be_read_back_while_it_is_written_and_after(tmp_path: Path) -> None:
    log = started(tmp_path)
    log.put(scored("r1"))
    log.put(scored("r2", rows=3))
    assert log.flush()
    assert [name.endswith(segments.UNDER_WAY) for name in names(tmp_path)] == [True]
    for _ in range(2):  # under way, then finished
        frame = read(tmp_path)
        assert frame["receipt_id"].tolist() == ["r1"] * 2 + ["r2"] * 3
        assert frame["row_number"].tolist() == [0, 1, 0, 1, 2]
        of_labels = {"worn", "labelled_at", "source", "labelled_by"}
        assert set(NAMES) | {"a", "b"} | of_labels == set(frame.columns)
        assert frame["b"].tolist() == [1.0, 3.0, 1.0, 3.0, 5.0]
        assert frame["probability"].isna().tolist() == [False, True, False, False, True]
        assert (frame["answered_at"] == NOON).all()
        assert frame["worn"].isna().all()
        one = find(tmp_path, "r2")
        assert (len(one), one["reasons"].iloc[2]) == (3, "no window")
        assert find(tmp_path, "r3").empty
        if log is not None:
            log.close()
            log = None  # type: ignore[assignment]
    assert [name.endswith(".parquet") for name in names(tmp_path)] == [True]


def test_labels_are_joined_and_the_newest_counts(tmp_path: Path) -> None:
    log = started(tmp_path)
    log.put(scored("r1"))
    log.put(scored("r2"))
    assert log.put_labels(Labels("r2", (True, True), NOON, "first"))
    assert log.put_labels(Labels("r2", (True, False), NOON + timedelta(days=1), "second"))
    log.close()
    frame = read(tmp_path)
    assert frame["worn"].tolist()[2:] == [True, False]
    assert frame["worn"].isna().tolist() == [True, True, False, False]
    assert frame["source"].tolist()[2:] == ["second", "second"]


def test_labels_say_by_whom_and_those_of_an_earlier_version_nobody(tmp_path: Path) -> None:
    log = started(tmp_path)
    log.put(scored("r1"))
    log.put(scored("r2"))
    assert log.put_labels(Labels("r2", (True, True), NOON, "first", "line-4"))
    log.close()
    batch = label_batch(Labels("r1", (True, False), NOON, "first"))
    earlier = pa.table(batch).drop_columns(["labelled_by"])
    pq.write_table(earlier, segments.folder(tmp_path) / "labels-20250101T000000Z-1-0.parquet")
    frame = read(tmp_path)
    assert frame["labelled_by"].tolist() == [None, None, "line-4", "line-4"]
    assert frame["worn"].tolist() == [True, False, True, True]


def test_a_model_with_other_features_gets_a_file_of_its_own(tmp_path: Path) -> None:
    log = started(tmp_path)
    log.put(scored("r1"))
    log.put(scored("r2", columns=("a", "z", "y")))
    log.put(scored("r3"))
    log.close()
    assert len(names(tmp_path)) == 3
    frame = read(tmp_path).set_index("receipt_id")
    assert frame["z"].notna().groupby(level=0).all().to_dict() == {
        "r1": False,
        "r2": True,
        "r3": False,
    }


def test_a_file_that_somebody_put_into_the_log_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for a pipe, reads a device or ends over a file that is no table."""
    log = started(tmp_path)
    log.put(scored("r1"))
    log.close()
    root = segments.folder(tmp_path)
    os.mkfifo(root / "requests-1.parquet")
    os.mkfifo(root / "requests-2.arrows.open")
    (root / "requests-3.parquet").symlink_to("/dev/zero")
    (root / "requests-4.arrows.open").symlink_to("/dev/zero")
    (root / "requests-10.parquet").write_bytes(b"no table")
    (root / "labels-6.parquet").symlink_to(root / "requests-10.parquet")
    assert set(read(tmp_path)["receipt_id"]) == {"r1"}
    assert len(find(tmp_path, "r1")) == len(newest(tmp_path, 10)) == 2
    assert segments.recover(root) == 0
    told = " ".join(record.getMessage() for record in caplog.records)
    for name in ("requests-1", "requests-2", "requests-3", "requests-4", "requests-10", "labels-6"):
        assert f"left out of the payload log: {root / name}" in told


@pytest.mark.parametrize("limit", [{"rows": 4}, {"bytes": 1}, {"seconds": 0.0}])
def test_files_are_finished_by_rows_size_and_age(tmp_path: Path, limit: dict[str, float]) -> None:
    log = started(tmp_path, **limit)
    for number in range(3):
        log.put(scored(f"r{number}", rows=4))
        log.flush()
    log.close()
    assert len(names(tmp_path)) == 3
    assert all(name.endswith(".parquet") for name in names(tmp_path))
    assert len(read(tmp_path)) == 12


def test_the_oldest_files_go_when_the_log_outgrows_its_bound(tmp_path: Path) -> None:
    log = started(tmp_path, rows=1)
    log.put(scored("r0"))
    log.close()
    size = (segments.folder(tmp_path) / names(tmp_path)[0]).stat().st_size
    log = started(tmp_path, rows=1, total_bytes=size * 3 + size // 2)
    for number in range(1, 8):
        log.put(scored(f"r{number}"))
        log.flush()
    log.close()
    assert sorted(set(read(tmp_path)["receipt_id"])) == ["r5", "r6", "r7"]


def test_a_full_queue_drops_counts_and_never_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = PayloadLog(tmp_path, Limits(waiting=5))  # not started: nothing is taken away
    before = DROPPED._value.get()
    began = time.perf_counter()
    for number in range(8):
        log.put(scored(f"r{number}"))
    assert time.perf_counter() - began < 0.1
    assert DROPPED._value.get() - before == 3
    log.start()
    log.close()
    assert len(set(read(tmp_path)["receipt_id"])) == 5


def test_a_disk_that_cannot_be_written_is_told_and_does_not_stop_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    log = started(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(segments.Segment, "write", full)
        log.put(scored("r1"))
        assert log.flush() is False
    log.put(scored("r2"))
    assert log.flush() is True
    log.close()
    assert set(read(tmp_path)["receipt_id"]) == {"r2"}


WRITER = """
import sys, time
from pathlib import Path
from serving.payload.log import PayloadLog
from tests.serving.test_payload_log import scored
log = PayloadLog(Path(sys.argv[1]))
log.start()
for number in range(50):
    log.put(scored(f"r{number}"))
log.flush()
print("written", flush=True)
time.sleep(60)
"""


def test_a_killed_writer_loses_nothing_that_was_written(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"written\n"
    assert segments.recover(segments.folder(tmp_path)) == 0, "somebody is writing it"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    (under_way,) = segments.folder(tmp_path).iterdir()
    with under_way.open("ab") as stream:
        stream.write(b"\xff\xff\xff\xff\x10\x01half a batch")
    log = started(tmp_path)
    log.put(scored("later"))
    log.close()
    assert len(names(tmp_path)) == 2
    assert all(name.endswith(".parquet") for name in names(tmp_path))
    assert set(read(tmp_path)["receipt_id"]) == {f"r{n}" for n in range(50)} | {"later"}


def test_a_kill_between_finishing_and_removing_does_not_double_rows(tmp_path: Path) -> None:
    log = started(tmp_path)
    log.put(scored("r1"))
    log.flush()
    (under_way,) = segments.folder(tmp_path).iterdir()
    kept = under_way.read_bytes()
    log.close()
    under_way.write_bytes(kept)
    assert len(read(tmp_path)) == 2
    started(tmp_path).close()
    assert len(names(tmp_path)) == 1
    assert len(read(tmp_path)) == 2


def test_files_are_plain_parquet(tmp_path: Path) -> None:
    log = started(tmp_path)
    log.put(scored("r1"))
    log.close()
    schema = pq.read_schema(segments.folder(tmp_path) / names(tmp_path)[0])
    assert str(schema.field("answered_at").type) == "timestamp[us, tz=UTC]"
    assert str(schema.field("a").type) == "double"


def test_an_empty_home_has_an_empty_log(tmp_path: Path) -> None:
    frame = read(tmp_path)
    assert len(frame) == 0
    assert {*NAMES, "worn"} <= set(frame.columns)
    assert find(tmp_path, "r1").empty
