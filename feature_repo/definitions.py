"""What Feast knows: the same features in a view to train on and in two to serve from.

Training asks for the features of every telemetry row. Its entity is the row itself: with the run
as the key a point-in-time join would compare every row of a run with every other. Serving asks
for the newest features of a run, and a machine may push newer ones.

Names of features come from `toolwear.features.definitions`. `feast apply` in this folder reads
the objects at the bottom; the steps and serving call `repository` themselves.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from feast import (
    Entity,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    PushSource,
    ValueType,
)
from feast.data_format import ParquetFormat
from feast.types import Float64, String

from toolwear.dataset import contract, schema
from toolwear.dataset.contract import DataSet
from toolwear.features.definitions import definitions
from toolwear.features.names import (
    CONTRACT_FILE,
    FEAST_FOLDER,
    LATEST_FILE,
    PUSH_SOURCE,
    SAMPLES_FOLDER,
    SAMPLES_SERVICE,
    SAMPLES_VIEW,
    latest_service,
)


def repository(home: Path, dataset: DataSet) -> list[Any]:
    """Return the entities, views and services whose data lie in `home`.

    Args:
        dataset: contract of the data set that the features are of.
        home: folder with the samples' feature table in Parquet parts, and the newest rows; a
            relative one counts from the folder of Feast's configuration.
    """
    made = definitions(dataset)
    sample = Entity(
        name="sample",
        join_keys=[schema.SAMPLE_ID],
        value_type=ValueType.STRING,
        description="One telemetry row of one run.",
    )
    run = Entity(
        name="run",
        join_keys=[schema.RUN_ID],
        value_type=ValueType.STRING,
        description="One machining run with one tool.",
    )
    samples = FeatureView(
        name=SAMPLES_VIEW,
        entities=[sample],
        schema=_fields(made.columns),
        source=_parquet(f"{SAMPLES_VIEW}_source", home / SAMPLES_FOLDER / "*.parquet"),
        online=False,
        ttl=timedelta(0),  # recordings do not go stale
        description="Features of every telemetry row, to train on.",
    )
    pushed = PushSource(name=PUSH_SOURCE, batch_source=_parquet("newest_rows", home / LATEST_FILE))
    latest = {
        name: FeatureView(
            name=name,
            entities=[run],
            schema=[*_fields(columns), Field(name=schema.SAMPLE_ID, dtype=String)],
            source=pushed,
            online=True,
            ttl=timedelta(0),
            description="Features of the newest cutting row of each run, to serve from.",
        )
        for name, columns in made.views.items()
    }
    services = [
        FeatureService(
            name=latest_service(name),
            features=[latest[chosen.view][[*chosen.columns, schema.SAMPLE_ID]]],
            description=chosen.why,
        )
        for name, chosen in made.sets.items()
    ]
    training = FeatureService(
        name=SAMPLES_SERVICE,
        features=[samples],
        description="All features of every row: what the training set is joined from.",
    )
    return [sample, run, samples, *latest.values(), training, *services]


def _fields(columns: Sequence[str]) -> list[Field]:
    return [Field(name=column, dtype=Float64) for column in columns]


def _parquet(name: str, path: Path) -> FileSource:
    return FileSource(
        name=name,
        path=str(path),
        file_format=ParquetFormat(),
        timestamp_field=schema.EVENT_TIME,
    )


# For Feast's own command line, which collects the attributes of this module.
_home = Path(os.environ.get(FEAST_FOLDER) or "../runs/feast/current")
_contract = _home / CONTRACT_FILE
for _object in repository(
    _home, contract.stored(_contract) if _contract.is_file() else contract.default()
):
    globals()[_object.name] = _object
