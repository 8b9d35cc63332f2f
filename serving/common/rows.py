"""What clients may ask about: raw telemetry rows, the keys of runs, or finished feature rows."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from kserve import InferRequest

from serving.common import matrix
from serving.common.refusal import Refusal
from serving.common.row_refusals import check_keys, several, too_many
from toolwear.common.request_limits import ROWS
from toolwear.dataset import schema
from toolwear.dataset.contract import DataSet, Phases

TIMESTAMP = "timestamp"  # beside run_id: as of when the features are wanted
_ENTITY_KEYS = frozenset({schema.RUN_ID, TIMESTAMP})
_NUMBERS = {int, float}
_RUN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, eq=False)
class RawColumns:
    """The columns of a raw row, by the contract of the data set.

    Attributes:
        dataset: the contract.
        numbers: signals and settings.
        texts: the column of phases, if rows have one.
        names: all of them.
    """

    dataset: DataSet
    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    names: tuple[str, ...]
    keys: frozenset[str]

    @classmethod
    def of(cls, dataset: DataSet) -> RawColumns:
        """Return the columns that a contract names."""
        numbers = (*dataset.numbers, *dataset.settings)
        texts = (dataset.phases.column,) if dataset.phases.recorded else ()
        names = (*numbers, *texts)
        return cls(dataset, numbers, texts, names, frozenset(names))


@dataclass(frozen=True, eq=False)
class RawRows:
    """Telemetry as recorded, consecutive rows of one run in time order.

    Attributes:
        frame: the columns of `columns`, numbers float64, index from 0.
        columns: which those are.
    """

    frame: pd.DataFrame
    columns: RawColumns

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True)
class EntityKeys:
    """Runs whose newest features are to be taken from the feature store.

    Attributes:
        run_ids: the keys.
        timestamps: as of when, UTC; None for now.
    """

    run_ids: tuple[str, ...]
    timestamps: tuple[datetime | None, ...]

    def __len__(self) -> int:
        return len(self.run_ids)


@dataclass(frozen=True, eq=False)
class FeatureRows:
    """Finished features, float64 (rows, features), in the model's order."""

    values: np.ndarray

    def __len__(self) -> int:
        return len(self.values)


Rows = RawRows | EntityKeys | FeatureRows


def parse_instances(
    payload: dict[str, Any], raw: RawColumns, features: tuple[str, ...] = ()
) -> Rows:
    """Return what the instances of a V1 request are.

    Args:
        payload: the decoded body, an object.
        raw: the columns of a raw row.
        features: columns of the model, if finished feature rows are taken too: lists of numbers
            in this order, or objects.

    Raises:
        Refusal: they are none of it, or mixed, or one is faulty.
    """
    instances = payload.get("instances")
    if type(instances) is not list or not instances:
        raise Refusal("request", 'The body needs "instances": a list of at least one row.')
    if len(instances) > ROWS:
        raise too_many(len(instances))
    if features and type(instances[0]) is list:
        return FeatureRows(matrix.instance_rows(payload, len(features)))
    if set(map(type, instances)) != {dict}:
        raise Refusal(
            "shape",
            "Each instance has to be an object: a raw telemetry row with its columns, or "
            '{"run_id": "07"}.',
        )
    with_key = sum(schema.RUN_ID in row for row in instances)
    if with_key == 0:
        only_raw = raw.keys.difference(features)
        if features and all(only_raw.isdisjoint(row) for row in instances):
            return _feature_rows(instances, features, raw)
        return _raw_rows(instances, raw)
    if with_key != len(instances):
        raise Refusal("mixed", "Send raw rows and run ids in separate requests: these are mixed.")
    return _entity_keys(instances, raw)


def parse_tensors(request: InferRequest, raw: RawColumns) -> RawRows | EntityKeys:
    """Return what the tensors of a V2 request are.

    Either the one BYTES tensor `run_id`, with or without a BYTES tensor `timestamp`; or one FP64
    tensor for each raw column and a BYTES tensor for the phase. Shapes are [rows] or [rows, 1].

    Raises:
        Refusal: they are neither, or one is faulty.
    """
    names = [tensor.name for tensor in request.inputs]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Refusal("name", f'There are two inputs named "{twice[:40]}".')
    by_key = schema.RUN_ID in names
    known, required = (_ENTITY_KEYS, (schema.RUN_ID,)) if by_key else (raw.keys, raw.names)
    check_keys(set(names), known, required, raw.keys, "The request", "input")
    tensors = {tensor.name: tensor for tensor in request.inputs}
    rows = _tensor_rows(tensors[names[0]])
    columns = {
        name: _tensor(tensor, rows, "FP64" if name in raw.numbers else "BYTES", request.from_grpc)
        for name, tensor in tensors.items()
    }
    if by_key:
        whens = columns.get(TIMESTAMP, [None] * rows)
        return _keys(columns[schema.RUN_ID], whens)
    numbers = np.array([columns[name] for name in raw.numbers], dtype=np.float64)
    return _telemetry(numbers, [columns[name] for name in raw.texts], raw)


# --- raw rows -----------------------------------------------------------------------------------


def _raw_rows(instances: list[dict[str, Any]], raw: RawColumns) -> RawRows:
    for index, row in enumerate(instances):
        if row.keys() != raw.keys:
            check_keys(row.keys(), raw.keys, raw.names, raw.keys, f"Instance {index}", "column")
    numbers = _numbers(instances, raw.numbers)
    return _telemetry(numbers, [[row[name] for row in instances] for name in raw.texts], raw)


def _feature_rows(
    instances: list[dict[str, Any]], features: tuple[str, ...], raw: RawColumns
) -> FeatureRows:
    known = frozenset(features)
    for index, row in enumerate(instances):
        if row.keys() != known:
            check_keys(row.keys(), known, features, raw.keys, f"Instance {index}", "feature")
    numbers = _numbers(instances, features)
    _check_finite(numbers, features)
    return FeatureRows(np.ascontiguousarray(numbers.T))


def _numbers(instances: list[dict[str, Any]], names: tuple[str, ...]) -> np.ndarray:
    """Return the named values, float64 (names, rows)."""
    values = [[row[name] for row in instances] for name in names]
    for name, column in zip(names, values, strict=True):
        _check_numbers(name, column)
    return np.array(values, dtype=np.float64)


def _telemetry(numbers: np.ndarray, texts: Sequence[Sequence[Any]], raw: RawColumns) -> RawRows:
    """Return raw rows; `numbers` is (columns, rows), `texts` has cells of `RawColumns.texts`."""
    _check_finite(numbers, raw.numbers)
    for place, name in enumerate(raw.dataset.settings, start=len(raw.dataset.signals)):
        values = numbers[place]
        other = np.flatnonzero(values != values[0])
        if len(other):
            raise several(
                f'"{name}" is {values[0]:g} in row 0 and {values[other[0]]:g} in row {other[0]}'
            )
    frame = pd.DataFrame(numbers.T, columns=list(raw.numbers))
    known = raw.dataset.phases
    frame[known.column] = known.names[0]
    for phases in texts:
        frame[known.column] = [_phase(row, phase, known) for row, phase in enumerate(phases)]
    return RawRows(frame, raw)


def _phase(row: int, phase: Any, known: Phases) -> str:
    named = known.spellings.get(phase, phase) if type(phase) is str else None
    if named not in known.names:
        raise Refusal(
            "phase",
            f'"{known.column}" of row {row} is not a phase; '
            f"the phases are {', '.join(known.names)}.",
        )
    return str(named)


def _check_numbers(name: str, values: list[Any]) -> None:
    if not _NUMBERS.issuperset(map(type, values)):
        row = next(i for i, value in enumerate(values) if type(value) not in _NUMBERS)
        raise Refusal("not_a_number", f'"{name}" of row {row} is not a number.')


def _check_finite(numbers: np.ndarray, names: tuple[str, ...]) -> None:
    finite = np.isfinite(numbers)
    if not finite.all():
        column, row = np.argwhere(~finite)[0]
        raise Refusal("not_finite", f'"{names[column]}" of row {row} is not finite.')


# --- keys ---------------------------------------------------------------------------------------


def _entity_keys(instances: list[dict[str, Any]], raw: RawColumns) -> EntityKeys:
    for index, row in enumerate(instances):
        check_keys(row.keys(), _ENTITY_KEYS, (schema.RUN_ID,), raw.keys, f"Instance {index}", "key")
    run_ids = [row[schema.RUN_ID] for row in instances]
    return _keys(run_ids, [row.get(TIMESTAMP) for row in instances])


def _keys(run_ids: Sequence[Any], whens: Sequence[Any]) -> EntityKeys:
    for index, run_id in enumerate(run_ids):
        if type(run_id) is not str or not _RUN_ID.fullmatch(run_id):
            raise Refusal(
                "run_id", f'"{schema.RUN_ID}" of row {index} has to be text such as "07".'
            )
    return EntityKeys(
        tuple(run_ids), tuple(_timestamp(index, when) for index, when in enumerate(whens))
    )


def _timestamp(row: int, value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        pass
    raise Refusal(
        TIMESTAMP,
        f'"{TIMESTAMP}" of row {row} has to be a time with its zone, '
        'such as "2026-01-31T12:00:00Z".',
    )


# --- tensors ------------------------------------------------------------------------------------


def _tensor_rows(tensor: Any) -> int:
    shape = tensor.shape or [0]
    if not 1 <= len(shape) <= 2 or shape[0] < 1 or shape[1:] not in ([], [1]):
        raise Refusal("shape", f'The shape of "{tensor.name}" has to be [rows] or [rows, 1].')
    if shape[0] > ROWS:
        raise too_many(shape[0])
    return int(shape[0])


def _tensor(tensor: Any, rows: int, datatype: str, from_grpc: bool) -> list[Any]:
    name = tensor.name
    if tensor.datatype != datatype:
        raise Refusal("datatype", f'"{name}" has to be {datatype}, not {tensor.datatype[:20]}.')
    if _tensor_rows(tensor) != rows:
        raise Refusal("shape", f'"{name}" has to have as many rows as the other inputs: {rows}.')
    try:
        if isinstance(tensor.data, list) and tensor.data and not from_grpc:
            values = _flat(tensor.data)
        else:
            values = tensor.as_numpy().ravel().tolist()
        if datatype == "BYTES":
            values = [item.decode() if isinstance(item, bytes) else item for item in values]
    except (ValueError, struct.error):
        values = []
    if len(values) != rows:
        raise Refusal("shape", f'"{name}" has to hold {rows} values, as its shape says.')
    if datatype == "FP64":
        _check_numbers(name, values)
    return values


def _flat(data: list[Any]) -> list[Any]:
    # The protocol allows both the flat and the nested form.
    return list(chain.from_iterable(data)) if set(map(type, data)) == {list} else data
