"""The one feature function: training and serving both call it, so that they cannot differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema
from toolwear.dataset.contract import ALIAS, MAD, MEAN, STD, DataSet, Difference, window_column
from toolwear.dataset.limits import limit, limit_columns
from toolwear.features import windows
from toolwear.features.definitions import Definitions, definitions


def compute(rows: pd.DataFrame, window: int, dataset: DataSet) -> pd.DataFrame:
    """Return the features of each row from this row and earlier ones.

    Args:
        rows: consecutive telemetry rows of one run in time order, with `Definitions.inputs` and
            those that the limits of cutting speak of. For the newest row of a stream, a tail that
            holds the last `window` cutting rows is enough.
        window: cutting rows in a trailing window, at least 2.
        dataset: its contract.

    Returns:
        One row per input row, same index: `Definitions.columns` (float64) and `is_cutting`. Window
        features are NaN on rows that are not cutting or have fewer than `window` cutting rows.

    Raises:
        ToolwearError: a column is missing.
    """
    made, cutting = definitions(dataset), dataset.rows.cutting
    wanted = (*made.inputs, *limit_columns(cutting))
    missing = [column for column in wanted if column not in rows.columns]
    if missing:
        raise ToolwearError(f"The telemetry lacks the column {missing[0]!r}; add it.")
    is_cut = is_cutting(rows, cutting)
    out = rows.loc[:, list(made.level_columns)].astype(np.float64)
    if made.window_columns:
        values = np.full((len(made.window_columns), len(rows)), np.nan)
        places = np.flatnonzero(is_cut)
        if len(places) >= window:
            found = _window_features(rows.iloc[places], places, window, made)
            values[:, places[window - 1 :]] = found
        of_windows = pd.DataFrame(values.T, columns=list(made.window_columns), index=rows.index)
        out = pd.concat([out, of_windows], axis=1)
    out[schema.IS_CUTTING] = is_cut
    return out


def is_cutting(rows: pd.DataFrame, cutting: Sequence[str]) -> np.ndarray:
    """Return for each row whether the tool is in the work piece: whether it keeps all limits.

    Phases are no substitute: in shuffled recordings they do not match the movement.
    """
    kept = np.ones(len(rows), dtype=bool)
    for one in map(limit, cutting):
        kept &= one.holds(rows[one.column].to_numpy())
    return kept


def _window_features(
    rows: pd.DataFrame, places: np.ndarray, window: int, made: Definitions
) -> np.ndarray:
    """Return the features of each full window, shape (columns, windows).

    `places` are the rows' positions before all but cutting rows were dropped.
    """
    features = made.dataset.features
    adjacent = np.diff(places, prepend=-2) == 1
    found: dict[str, np.ndarray] = {}
    for statistic in (MEAN, STD, MAD, ALIAS):
        names = [
            s for group in features.windows if statistic in group.statistics for s in group.signals
        ]
        if not names:
            continue
        x = np.stack([_signal(rows, name, features.derived) for name in names])
        if statistic == MEAN:
            result = windows.trailing_mean(x, window)
        elif statistic == STD:
            result = windows.trailing_std(x, window)
        elif statistic == MAD:
            result = windows.trailing_mean_difference(x, adjacent, window)
        else:
            result = windows.trailing_alias_amplitude(x, window, features.alias_period)
        found.update(
            {window_column(name, statistic): row for name, row in zip(names, result, strict=True)}
        )
    return np.stack([found[column] for column in made.window_columns])


def _signal(rows: pd.DataFrame, name: str, derived: Mapping[str, Difference]) -> np.ndarray:
    if name not in derived:
        return rows[name].to_numpy(dtype=np.float64)
    one = derived[name]
    return rows[one.of].to_numpy(dtype=np.float64) - rows[one.less].to_numpy(dtype=np.float64)
