"""The point-in-time join of the training set, through Feast."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

from toolwear.dataset import schema
from toolwear.dataset.contract import DataSet
from toolwear.features.definitions import definitions
from toolwear.features.feast_folder import apply_folder, bounded_duckdb
from toolwear.features.names import SAMPLES_FOLDER, SAMPLES_SERVICE

_POSITION = "position"


class TrainingSetJoin:
    """Joins keys and features by point in time, one part of the feature table at a time.

    The cost is linear in the rows because no part knows of another; memory is that of a part.
    """

    def __init__(self, scratch: Path, dataset: DataSet) -> None:
        self._columns = list(definitions(dataset).columns)
        (scratch / SAMPLES_FOLDER).mkdir(parents=True)
        self._folder = scratch
        self._part = scratch / SAMPLES_FOLDER / "part.parquet"
        self._store = apply_folder(scratch, dataset)
        self._service = self._store.get_feature_service(SAMPLES_SERVICE)

    def join(self, keys: pd.DataFrame, part: Path) -> pa.Table:
        """Return the features as they were known at each key's time, in the order of the keys.

        Args:
            keys: `sample_id` and `event_timestamp`.
            part: Parquet file with the same keys and the features.
        """
        self._part.unlink(missing_ok=True)
        self._part.symlink_to(part.absolute())
        entities = keys[[schema.SAMPLE_ID, schema.EVENT_TIME]].assign(
            **{_POSITION: range(len(keys))}
        )
        with bounded_duckdb(self._folder):
            joined = self._store.get_historical_features(
                entity_df=entities, features=self._service
            ).to_arrow()
        return joined.sort_by(_POSITION).select(self._columns)
