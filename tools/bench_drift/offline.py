"""The service without its processes: the same feature function, model and answers, in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from components.evaluate.band import choose_band, envelope
from components.register import drift
from datasets.cnc_mill import names as mill
from serving.common.features import FeatureSpec, computed
from serving.common.rows import RawColumns, RawRows
from serving.payload.records import Scored, request_batch
from tests.packages import forest, parts
from tools.replay.recordings import Recording
from toolwear.common.thresholds import thresholds
from toolwear.dataset import contract, schema
from toolwear.features import dataset
from toolwear.features.definitions import definitions
from toolwear.model.abstention import NOT_SURE, Abstention
from toolwear.model.onnx_model import OnnxModel
from toolwear.model.package import (
    DRIFT_FILE,
    GOLDEN_FILE,
    MODEL_FILE,
    REFERENCE_FILE,
    Package,
    json_bytes,
    write_package,
)
from toolwear.model.reference import background_places, reference_bytes, row_keys

REQUEST_ROWS = 200
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
_BACKGROUND = 100
_WINDOW = 50


def no_word(_text: str) -> None:
    """Take progress and say nothing."""


def trained(
    root: Path, features: Path, runs: Collection[str] = (), seed: int = 0, trees: int = 30
) -> Package:
    """Write a package with a forest trained on rows of some runs, as the pipeline would.

    Of the active rows three fifths teach, one fifth sets the band of "not sure" and one fifth
    tells the accuracy; the reference for drift holds all cutting rows of these runs.

    Args:
        root: folder of the packages.
        features: output of the features step.
        runs: ids; empty for all.
        seed: of the split and of the forest.
        trees: of the forest.
    """
    samples = dataset.load(features, schema.PUBLISHED)
    chosen = np.flatnonzero(np.isin(samples.run, list(runs) or np.unique(samples.run)))
    part = np.random.default_rng(seed).permutation(len(chosen)) % 5
    train, band, test = (chosen[np.isin(part, which)] for which in ([0, 1, 2], [3], [4]))
    X, y = samples.X[train], samples.y[train]
    graph = forest(X, y, trees=trees, seed=seed)
    model = OnnxModel(graph)
    found = choose_band(
        samples.y[band], model.worn(samples.X[band]), contract.default().not_sure.target_accuracy
    )
    bounds = envelope(X, samples.columns, 0.0)
    accuracy = float(((model.worn(samples.X[test]) > 0.5) == samples.y[test]).mean())
    description, files = parts(
        seed=seed,
        inputs=[{"name": name, "dtype": "float64"} for name in samples.columns],
        envelope=bounds,
        abstention={"low": found["low"], "high": found["high"]},
        window=_WINDOW,
        metrics={schema.KNOWN_RUNS: {"accuracy": accuracy, "n": len(test), "unit": "rows"}},
    )
    made = definitions(contract.of(features))
    frame = drift.rows(features, schema.PUBLISHED, made)
    background = background_places(samples.run[train], _BACKGROUND, seed)
    judge = drift.Judge(model.worn, Abstention.of(samples.columns, found, bounds), X[background])
    reference = drift.reference(
        frame[frame[schema.RUN_ID].isin(np.unique(samples.run[chosen]))],
        samples.columns,
        made,
        judge,
        thresholds().monitor.window_rows,
        no_word,
    )
    ids = samples.frame[schema.SAMPLE_ID].to_numpy()[train]
    golden = {
        "rows": X[:8],
        "probabilities": model.predict_proba(X[:8]),
        "labels": model.labels(X[:8]),
    }
    files |= {
        MODEL_FILE: graph,
        REFERENCE_FILE: reference_bytes(X[background], y[background], row_keys(ids)),
        GOLDEN_FILE: json_bytes(golden),
        DRIFT_FILE: reference.to_bytes(),
    }
    return write_package(root, description, files)


@dataclass(frozen=True, eq=False)
class Offline:
    """A package that answers recordings request by request."""

    package: Package

    def scored(self, recording: Recording, first: int = 0) -> Iterator[Scored]:
        """Yield the answers to a run's requests, a second apart; `first` numbers the first."""
        description = self.package.description
        model = OnnxModel(self.package.model)
        rule = Abstention.of(
            self.package.features, description["abstention"], description["envelope"]
        )
        spec = FeatureSpec.of_package(description)
        for number, start in enumerate(range(0, len(recording.rows), REQUEST_ROWS), start=first):
            rows = recording.rows.iloc[start : start + REQUEST_ROWS].reset_index(drop=True)
            found = computed(
                RawRows(rows.astype({mill.FEEDRATE: float}), RawColumns.of(spec.dataset)), spec
            )
            worn = model.worn(found.values)
            unsure = rule.in_band(worn) | rule.outside(found.values).any(axis=1)
            said = np.where(worn > 0.5, schema.WORN, schema.UNWORN)
            assert found.cutting is not None
            assert found.regimes is not None
            yield Scored(
                receipt_id=f"{recording.run_id}-{number:06d}",
                request_id=None,
                recording=recording.run_id,
                answered_at=NOON + timedelta(seconds=number),
                proof={
                    "model": "toolwear",
                    "model_version": "1",
                    "package_digest": self.package.digest,
                    "model_sha256": self.package.model_sha256,
                    "data_digest": description["data_digest"],
                    "commit": description["commit"],
                },
                kind=found.kind,
                run_ids=[None] * len(rows),
                timestamps=[None] * len(rows),
                stale=[False] * len(rows),
                cutting=found.cutting.tolist(),
                regimes=found.regimes.tolist(),
                columns=spec.columns,
                values=found.values,
                probability=worn,
                labels=said.tolist(),
                verdicts=np.where(unsure, "not_sure", said).tolist(),
                reasons=[NOT_SURE if one else "" for one in unsure.tolist()],
                latency_ms=1.0,
            )

    def frame(self, recording: Recording, first: int = 0) -> pd.DataFrame:
        """Return the rows that the payload log would have of a run."""
        return pd.concat(
            [request_batch([scored]).to_pandas() for scored in self.scored(recording, first)],
            ignore_index=True,
        )
