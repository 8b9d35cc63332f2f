"""From a run's rows in time order to keys and features, chunk by chunk, without files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema
from toolwear.dataset.contract import DataSet, key_columns
from toolwear.features.compute import compute
from toolwear.features.definitions import definitions


@dataclass(frozen=True)
class Run:
    """What the table of runs says of one run.

    Attributes:
        run_id: its key.
        rows: in it.
        settings: by name, in the contract's units.
        worn: number of the class.
    """

    run_id: str
    rows: int
    settings: Mapping[str, float]
    worn: int


def check_parameters(window: int, stride: int, longest_run: int) -> None:
    """Refuse windows that cannot be.

    Raises:
        ToolwearError: the window has fewer than 2 rows or more than the longest run, or the
            stride fewer than 1.
    """
    if window < 2:
        raise ToolwearError(f"The window has to be at least 2 rows, not {window}.")
    if stride < 1:
        raise ToolwearError(f"The stride has to be at least 1 row, not {stride}.")
    if window > longest_run:
        raise ToolwearError(
            f"The window of {window} rows is longer than every run (the longest has "
            f"{longest_run}); choose a shorter window."
        )


def samples(
    chunks: Iterable[pd.DataFrame], run: Run, window: int, stride: int, dataset: DataSet
) -> Iterator[pd.DataFrame]:
    """Yield keys and features of a run's rows, one frame for each chunk.

    The result is the same, bit for bit, however the run is cut into chunks.

    Args:
        chunks: rows in time order with the columns of the telemetry and the time index.
        run: the run that they are of.
        window: cutting rows in a trailing window.
        stride: distance in cutting rows of the windows that are marked as samples.
        dataset: its contract.
    """
    cut_before = 0
    for rows, found in features(chunks, run, window, dataset):
        ordinal = cut_before + found[schema.IS_CUTTING].cumsum().to_numpy() - 1
        cut_before = int(ordinal[-1]) + 1
        yield _with_keys(rows, found, ordinal, (window, stride), dataset)


def features(
    chunks: Iterable[pd.DataFrame], run: Run, window: int, dataset: DataSet
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Yield each chunk's rows, and their features, which rows are cutting and which are judged.

    Args:
        chunks: rows in time order with the columns of the telemetry that features need.
        run: the run that they are of.
        window: cutting rows in a trailing window.
        dataset: its contract.
    """
    phase = dataset.phases.column
    tail: pd.DataFrame | None = None
    for chunk in chunks:
        rows = chunk.copy(deep=False)
        for name, value in run.settings.items():
            rows[name] = value
        rows[schema.SETTING] = schema.setting(run.settings.values())
        rows[schema.LABEL] = np.int8(run.worn)
        with_tail = rows if tail is None else pd.concat([tail, rows], ignore_index=True)
        found = compute(with_tail, window, dataset)
        tail = _tail(with_tail, found[schema.IS_CUTTING].to_numpy(), window)
        found = found.iloc[len(found) - len(rows) :].set_axis(rows.index)
        found[schema.IS_ACTIVE] = rows[phase].isin(dataset.rows.judged)
        yield rows, found


def _with_keys(
    rows: pd.DataFrame,
    found: pd.DataFrame,
    ordinal: np.ndarray,
    windows: tuple[int, int],
    dataset: DataSet,
) -> pd.DataFrame:
    (window, stride), columns, made = windows, key_columns(dataset), definitions(dataset)
    cutting = found[schema.IS_CUTTING].to_numpy()
    # Complete windows only: one whose rows never follow one another has no differences.
    complete = found[list(made.window_columns)].notna().all(axis=1).to_numpy()
    at_stride = (ordinal >= window - 1) & ((ordinal - (window - 1)) % stride == 0)
    keys = rows.assign(
        **{
            schema.SAMPLE_ID: rows[schema.RUN_ID] + ":" + rows[schema.ROW].astype(str),
            schema.IS_ACTIVE: found[schema.IS_ACTIVE].to_numpy(),
            schema.IS_CUTTING: cutting,
            schema.IS_WINDOW: cutting & at_stride & complete,
        }
    )[list(columns)]
    return pd.concat([keys, found[[c for c in made.columns if c not in columns]]], axis=1)


def _tail(rows: pd.DataFrame, cutting: np.ndarray, window: int) -> pd.DataFrame:
    """Return the rows that the next chunk's windows reach back to, at most 2 * window.

    Beside cutting rows the row before each, so that neighbours are still told from gaps.
    """
    before_cutting = np.append(cutting[1:], True)
    places = np.flatnonzero(cutting | before_cutting)
    of_cutting = np.flatnonzero(cutting[places])
    if len(of_cutting) >= window:
        places = places[of_cutting[1 - window] :]
    return rows.iloc[places]


def newest(frame: pd.DataFrame, before: pd.DataFrame | None, dataset: DataSet) -> pd.DataFrame:
    """Return the one row to serve: the newest with a full window, else cutting, else any.

    Args:
        frame: keys and features of rows of a run, in any order.
        before: the row found so far in earlier frames of the run.
        dataset: its contract.
    """
    rows = frame if before is None else pd.concat([before, frame], ignore_index=True)
    cutting = rows[schema.IS_CUTTING].to_numpy()
    columns = list(definitions(dataset).window_columns)
    complete = cutting & rows[columns].notna().all(axis=1).to_numpy()
    rank = cutting.astype(np.int8) + complete
    at = np.lexsort((rows[schema.TIME_INDEX].to_numpy(), rank))[-1]
    return rows.iloc[[at]]
