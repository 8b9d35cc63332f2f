"""What the payload log keeps: one row for each scored row, and one for each label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from toolwear.dataset import schema

REQUESTS, LABELS = "requests", "labels"
WORN = "worn"
PROBABILITY, VERDICT = "probability", "verdict"

_TIME = pa.timestamp("us", tz="UTC")
_HEAD = (
    ("receipt_id", pa.string()),
    ("row_number", pa.int32()),
    ("request_id", pa.string()),
    ("recording", pa.string()),
    ("machine", pa.string()),
    ("answered_at", _TIME),
    ("model", pa.string()),
    ("model_version", pa.string()),
    ("package_digest", pa.string()),
    ("model_sha256", pa.string()),
    ("data_digest", pa.string()),
    ("commit", pa.string()),
    ("kind", pa.string()),
    ("run_id", pa.string()),
    ("feature_timestamp", _TIME),
    ("stale", pa.bool_()),
    # Not features: what the monitor has to know of a row to compare it with its like.
    (schema.IS_CUTTING, pa.bool_()),
    (schema.REGIME, pa.float64()),
)
_TAIL = (
    (PROBABILITY, pa.float64()),
    ("label", pa.string()),
    (VERDICT, pa.string()),
    ("reasons", pa.string()),
    ("latency_ms", pa.float64()),
    ("status", pa.int32()),
)
NAMES = tuple(name for name, _ in (*_HEAD, *_TAIL))
LABEL_SCHEMA = pa.schema(
    [
        ("receipt_id", pa.string()),
        ("row_number", pa.int32()),
        (WORN, pa.bool_()),
        ("labelled_at", _TIME),
        ("source", pa.string()),
        ("labelled_by", pa.string()),
    ]
)


@dataclass(frozen=True, eq=False)
class Scored:
    """An answered request.

    Attributes:
        receipt_id: its id; no other answer has it.
        request_id: what the caller called it, None if nothing.
        recording: which its rows are of, None if the client did not say.
        answered_at: UTC.
        proof: `model`, `model_version`, `package_digest`, `model_sha256`, `data_digest` and
            `commit` of the model that answered.
        kind: where the features come from.
        run_ids: of each row, None for raw rows.
        timestamps: of each row's features, UTC, None for raw rows.
        stale: whether each row's features are older than allowed.
        cutting: whether the tool is in the work piece, None where nobody knows.
        regimes: value of the contract's regime, None where nobody knows or there is none.
        columns: names of the features.
        values: features, float64 (rows, columns).
        probability: of "worn", float64 (rows,), NaN where there was none.
        labels: the model's classes, None where it gave none.
        verdicts: what the service answered.
        reasons: why it is not sure; empty where it is.
        latency_ms: from the request's arrival to its answer.
        status: HTTP status of the answer.
        machine: on which its rows were recorded, None if the client did not say.
    """

    receipt_id: str
    request_id: str | None
    recording: str | None
    answered_at: datetime
    proof: Mapping[str, str]
    kind: str
    run_ids: Sequence[str | None]
    timestamps: Sequence[datetime | None]
    stale: Sequence[bool]
    cutting: Sequence[bool | None]
    regimes: Sequence[float | None]
    columns: tuple[str, ...]
    values: np.ndarray
    probability: np.ndarray
    labels: Sequence[str | None]
    verdicts: Sequence[str]
    reasons: Sequence[str]
    latency_ms: float
    status: int = 200
    machine: str | None = None


@dataclass(frozen=True)
class Labels:
    """What became known later of the rows of an answer.

    Attributes:
        receipt_id: of the answer.
        worn: for each of its rows.
        labelled_at: UTC.
        source: a word of who labels.
        by: name of the token with which they came; empty if they came without one.
    """

    receipt_id: str
    worn: tuple[bool, ...]
    labelled_at: datetime
    source: str
    by: str = ""


def request_schema(columns: Sequence[str]) -> pa.Schema:
    """Return the columns of a file of requests whose model takes these features."""
    return pa.schema([*_HEAD, *((name, pa.float64()) for name in columns), *_TAIL])


def request_batch(scored: Sequence[Scored]) -> pa.RecordBatch:
    """Return answered requests, all with the same features, as rows."""
    columns = scored[0].columns
    found: dict[str, list[object]] = {name: [] for name in NAMES}
    for one in scored:
        n = len(one.values)
        rows = {
            "receipt_id": [one.receipt_id] * n,
            "row_number": range(n),
            "request_id": [one.request_id] * n,
            "recording": [one.recording] * n,
            "machine": [one.machine] * n,
            "answered_at": [one.answered_at] * n,
            **{name: [value] * n for name, value in one.proof.items()},
            "kind": [one.kind] * n,
            "run_id": one.run_ids,
            "feature_timestamp": one.timestamps,
            "stale": one.stale,
            schema.IS_CUTTING: one.cutting,
            schema.REGIME: one.regimes,
            PROBABILITY: [None if p != p else p for p in one.probability.tolist()],
            "label": one.labels,
            VERDICT: one.verdicts,
            "reasons": one.reasons,
            "latency_ms": [one.latency_ms] * n,
            "status": [one.status] * n,
        }
        for name, values in rows.items():
            found[name].extend(values)
    features = np.concatenate([one.values for one in scored])
    table = request_schema(columns)
    arrays = [
        pa.array(features[:, columns.index(field.name)])
        if field.name in columns
        else pa.array(found[field.name], field.type)
        for field in table
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=table)


def label_batch(labels: Labels) -> pa.RecordBatch:
    """Return labels as rows."""
    n = len(labels.worn)
    columns = [
        [labels.receipt_id] * n,
        list(range(n)),
        list(labels.worn),
        [labels.labelled_at] * n,
        [labels.source] * n,
        [labels.by] * n,
    ]
    arrays = [pa.array(v, field.type) for v, field in zip(columns, LABEL_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=LABEL_SCHEMA)
