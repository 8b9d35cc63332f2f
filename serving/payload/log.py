"""The payload log: what was asked and answered, and what became known later."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import pandas as pd
import pyarrow as pa
from prometheus_client import Counter

from serving.payload import segments
from serving.payload.records import (
    LABEL_SCHEMA,
    LABELS,
    NAMES,
    REQUESTS,
    WORN,
    Labels,
    Scored,
    label_batch,
    request_batch,
    request_schema,
)
from toolwear.common.errors import ToolwearError
from toolwear.common.tables import read_schema, read_table
from toolwear.common.thresholds import thresholds

_GATHER_SECONDS = 0.25  # a batch for each request would cost more than the answer
_AT_ONCE = 500  # requests in a batch
_NEWEST_FILES = 2  # one may have been finished a moment ago
_log = logging.getLogger("toolwear.serving")

WRITTEN = Counter("toolwear_payload_rows", "Rows written to the payload log.")
DROPPED = Counter("toolwear_payload_dropped", "Requests that the payload log had to leave out.")


@dataclass(frozen=True)
class Limits:
    """How much the log holds.

    Attributes:
        rows: of a file.
        bytes: of a file, as a stream; Parquet is smaller.
        seconds: for which a file stays under way.
        total_bytes: of all files; the oldest are removed. By default the budget of payloads.
        waiting: requests that wait to be written; further ones are dropped and counted.
    """

    rows: int = 100_000
    bytes: int = 32 << 20
    seconds: float = 600.0
    total_bytes: float = field(default_factory=lambda: thresholds().disk.payloads.bytes)
    waiting: int = 2000


@dataclass
class _Done:
    """A mark in the queue: what came before it is written."""

    event: threading.Event = field(default_factory=threading.Event)
    failed: bool = False


class PayloadLog:
    """Writes the log in a thread of its own; `put` never waits.

    Args:
        home: the system's folder.
        limits: how much it holds.
    """

    def __init__(self, home: Path, limits: Limits | None = None) -> None:
        self._root = segments.folder(home)
        self._limits = limits or Limits()
        self._waiting: deque[Scored] = deque()
        self._tasks: deque[Labels | _Done | None] = deque()
        self._wake = threading.Event()
        self._open: dict[str, segments.Segment] = {}
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="payload-log", daemon=True)

    def start(self) -> None:
        """Finish what a killed process left, and begin."""
        self._root.mkdir(parents=True, exist_ok=True)
        try:
            recovered = segments.recover(self._root)
        except (OSError, ToolwearError) as error:
            _log.error("what a kill has left of the payload log waits: %s", error)
            recovered = 0
        if recovered:
            _log.info("finished %d files of the payload log that a kill had left", recovered)
        segments.bound(self._root, self._limits.total_bytes)
        self._thread.start()

    def put(self, scored: Scored) -> None:
        """Hand over an answered request; if too many wait, it is dropped and counted."""
        if len(self._waiting) < self._limits.waiting:
            self._waiting.append(scored)
        else:
            DROPPED.inc()

    def put_labels(self, labels: Labels) -> bool:
        """Write labels and return whether they are in the log; waits for it."""
        return self._wait_for(labels)

    def flush(self) -> bool:
        """Wait until everything handed over so far is in the log; return whether it all is."""
        return self._wait_for()

    def close(self) -> None:
        """Write what waits, and finish the files."""
        self._tasks.append(None)
        self._wake.set()
        self._thread.join()

    def _wait_for(self, *tasks: Labels) -> bool:
        mark = _Done()
        self._tasks.extend((*tasks, mark))
        self._wake.set()
        mark.event.wait()
        return not mark.failed

    def _run(self) -> None:
        closing = False
        while not closing:
            self._wake.wait(_GATHER_SECONDS)
            self._wake.clear()
            # First the tasks: whoever waits for one wants in the log what came before it.
            tasks = _taken(self._tasks, len(self._tasks))
            while self._waiting:
                self._write(_taken(self._waiting, _AT_ONCE))
            for task in tasks:
                if isinstance(task, Labels):
                    self._append(LABELS, label_batch(task))
                elif isinstance(task, _Done):
                    task.failed, self._failed = self._failed, False
                    task.event.set()
                else:
                    closing = True
            self._rotate(everything=closing)

    def _write(self, scored: Sequence[Scored]) -> None:
        for columns, same in groupby(scored, key=lambda one: one.columns):
            batch = request_batch(list(same))
            current = self._open.get(REQUESTS)
            if current is not None and current.schema != request_schema(columns):
                self._finish(REQUESTS)  # another model, other features
            self._append(REQUESTS, batch)

    def _append(self, kind: str, batch: pa.RecordBatch) -> None:
        try:
            if kind not in self._open:
                self._open[kind] = segments.Segment(self._root, kind, batch.schema)
            self._open[kind].write(batch)
        except OSError as error:
            # A full disk must not stop the service; the file is finished up to here.
            _log.error("the payload log cannot be written: %s", error)
            DROPPED.inc(batch.num_rows)
            self._failed = True
            if kind in self._open:
                self._open.pop(kind).leave()
        else:
            WRITTEN.inc(batch.num_rows)

    def _rotate(self, everything: bool) -> None:
        limits = self._limits
        for kind, segment in list(self._open.items()):
            full = segment.rows >= limits.rows or segment.bytes >= limits.bytes
            if everything or full or segment.age >= limits.seconds:
                self._finish(kind)

    def _finish(self, kind: str) -> None:
        try:
            self._open.pop(kind).finish()
            segments.bound(self._root, self._limits.total_bytes)
        except (OSError, ToolwearError) as error:
            _log.error("a file of the payload log could not be finished: %s", error)


def _taken[T](waiting: deque[T], most: int) -> list[T]:
    return [waiting.popleft() for _ in range(min(most, len(waiting)))]


def read(home: Path) -> pd.DataFrame:
    """Return the whole log, one row for each scored row, with its label where one is known.

    Columns: those of `records.NAMES`, every feature, `worn` (nullable boolean), `labelled_at`,
    `source` and `labelled_by` of the newest label.
    """
    requests = _requests(home, None)
    labels = _labels(home)
    return requests.merge(labels, how="left", on=["receipt_id", "row_number"])


def newest(home: Path, rows: int) -> pd.DataFrame:
    """Return the last answered rows, at most `rows` and without labels, the oldest first.

    Reads the last finished files and those under way, not the whole log.
    """
    root = segments.folder(home)
    finished = sorted(root.glob(f"{REQUESTS}-*{segments.FINISHED}"))
    recent = [path for path in finished if path.is_file() and not path.is_symlink()][
        -_NEWEST_FILES:
    ]
    tables = segments.tables(
        root,
        REQUESTS,
        lambda path: read_table(path) if path in recent else read_schema(path).empty_table(),
    )
    if not tables:
        return request_schema(()).empty_table().to_pandas()
    frame = pa.concat_tables(tables, promote_options="default").to_pandas()
    return frame.sort_values("answered_at", kind="stable").tail(rows)


def find(home: Path, receipt_id: str) -> pd.DataFrame:
    """Return the rows of one answer as `read` does; empty if the log does not have it."""
    found = _requests(home, ("receipt_id", receipt_id))
    return found.merge(_labels(home), how="left", on=["receipt_id", "row_number"])


def of_request(home: Path, request_id: str) -> pd.DataFrame:
    """Return the answers to requests that carried this x-request-id, a row each, oldest first.

    Columns: `receipt_id`, `answered_at`, `recording`, `rows`.
    """
    found = _requests(home, ("request_id", request_id)).sort_values("answered_at", kind="stable")
    return found.groupby("receipt_id", sort=False, as_index=False).agg(
        answered_at=("answered_at", "first"),
        recording=("recording", "first"),
        rows=("row_number", "size"),
    )


def _requests(home: Path, wanted: tuple[str, str] | None) -> pd.DataFrame:
    filters = None if wanted is None else [(wanted[0], "=", wanted[1])]
    tables = segments.tables(
        segments.folder(home), REQUESTS, lambda path: read_table(path, filters=filters)
    )
    if not tables:
        return request_schema(()).empty_table().to_pandas()[list(NAMES)]
    frame = pa.concat_tables(tables, promote_options="default").to_pandas()
    return frame if wanted is None else frame[frame[wanted[0]] == wanted[1]]


def _labels(home: Path) -> pd.DataFrame:
    tables = segments.tables(segments.folder(home), LABELS, read_table)
    # Files of an earlier version do not say by whom.
    table = pa.concat_tables([LABEL_SCHEMA.empty_table(), *tables], promote_options="default")
    frame = table.to_pandas().astype({WORN: "boolean"})
    newest = frame.sort_values("labelled_at", kind="stable")
    return newest.drop_duplicates(["receipt_id", "row_number"], keep="last")
