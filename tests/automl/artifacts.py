"""Small features and split artifacts with a signal that a search finds in a few evaluations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from datasets.cnc_mill import names as mill
from tests.mill import FEATURE_SETS, FEATURES_MANIFEST
from toolwear.common import jsonfile
from toolwear.dataset import schema as s
from toolwear.evaluation.protocols import assign

ROWS_PER_RUN = 200
SETTINGS = [(3.0, 2.5), (6.0, 4.0), (20.0, 3.0)]
RUNS = 6  # one unworn and one worn for each setting


def write(folder: Path, classes: int = 2) -> tuple[Path, Path]:
    """Write both artifacts below `folder` and return their paths.

    A sixth of the rows is no sample, with features all the same; every fourth row ends a window.
    """
    generator = np.random.default_rng(0)
    rows = pd.concat([_run(number, classes, generator) for number in range(1, RUNS + 1)])
    rows = rows.reset_index(drop=True)
    features, split = folder / "features", folder / "split"
    (features / "training_set").mkdir(parents=True)
    split.mkdir()
    rows.to_parquet(features / "training_set" / "part-00000.parquet", index=False)
    jsonfile.write(features / "manifest.json", FEATURES_MANIFEST)
    assign(rows).to_parquet(split / "splits.parquet", index=False)
    asked = dict.fromkeys(s.PROTOCOLS, s.RESPONSE) | {s.KNOWN_RUNS: s.PUBLISHED}
    jsonfile.write(split / "audit.json", {"asked_of": asked})
    return features, split


def _run(number: int, classes: int, generator: np.random.Generator) -> pd.DataFrame:
    feedrate, clamp_pressure = SETTINGS[(number - 1) // 2]
    worn = number % 2 if classes == 2 else 1
    run, row = s.run_id(number), np.arange(ROWS_PER_RUN)
    frame = pd.DataFrame(
        {
            s.SAMPLE_ID: [s.sample_id(run, int(position)) for position in row],
            s.RUN_ID: run,
            s.ROW: row,
            s.TIME_INDEX: row,
            s.EVENT_TIME: pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(row * 100, "ms"),
            mill.PHASE: mill.ACTIVE_PHASES[0],
            s.SETTING: s.setting((feedrate, clamp_pressure)),
            mill.FEEDRATE: feedrate,
            mill.CLAMP_PRESSURE: clamp_pressure,
            s.IS_ACTIVE: row % 6 != 0,
            s.IS_CUTTING: True,
            s.IS_WINDOW: row % 4 == 3,
            s.LABEL: worn,
        }
    )
    signals = {
        column: generator.normal(size=ROWS_PER_RUN).round(3) + place % 3 * worn * 0.7
        for feature_set in (s.RESPONSE, s.PUBLISHED)
        for place, column in enumerate(FEATURE_SETS[feature_set].columns)
        if column not in frame
    }
    return frame.assign(**signals)
