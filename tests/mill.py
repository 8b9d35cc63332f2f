"""The mill's contract, and what tests ask of it."""

from __future__ import annotations

from serving.common.rows import RawColumns
from toolwear.dataset.contract import DataSet, default, key_columns
from toolwear.features.definitions import definitions
from toolwear.features.pieces import order_columns

MILL = default()
MADE = definitions(MILL)
RAW = RawColumns.of(MILL)
assert MILL.order is not None
MOVING = MILL.order
RAW_NUMBERS, RAW_ROW = RAW.numbers, RAW.names
FEATURE_SETS, VIEWS = MADE.sets, MADE.views
FEATURE_COLUMNS, WINDOW_COLUMNS, PUBLISHED_COLUMNS = (
    MADE.columns,
    MADE.window_columns,
    MADE.level_columns,
)
INPUT_COLUMNS, RAW_SIGNALS = MADE.inputs, MADE.raw_signals
KEY_COLUMNS, ORDER_COLUMNS = key_columns(MILL), order_columns(MILL)
SESSION_COLUMNS = MILL.features.session
# What every output of the features step says of them.
FEATURES_MANIFEST = {
    "dataset": MILL.model_dump(mode="json"),
    "keys": list(KEY_COLUMNS),
    "feature_sets": {
        name: {"columns": one.columns, "samples": one.samples_column, "why": one.why}
        for name, one in FEATURE_SETS.items()
    },
}


def mill(cutting: tuple[str, ...]) -> DataSet:
    """Return the mill's contract with other limits of cutting rows."""
    return MILL.model_copy(update={"rows": MILL.rows.model_copy(update={"cutting": cutting})})
