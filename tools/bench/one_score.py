"""One way of scoring in a process of its own.

`python -m tools.bench.one_score WAY FOLDER DATA TIMES RESULT.json`; before the others, the way
`model` fits one. Time is that from the file to the verdict, its modules being imported before;
memory is the process's.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

from datasets.cnc_mill import names as mill
from tools.bench.measure import own_peak_mib
from toolwear.common import jsonfile
from toolwear.dataset import contract, schema
from toolwear.features import dataset
from toolwear.features.compute import compute
from toolwear.features.definitions import definitions
from toolwear.model.abstention import Abstention
from toolwear.model.onnx_graph import to_bytes
from toolwear.model.onnx_model import OnnxModel
from toolwear.model.onnx_trees import forest_model
from toolwear.model.pyfunc import PackageModel
from toolwear.scoring.logic import Scorer, majority
from toolwear.scoring.sources import Source, sources
from toolwear.scoring.verdict import verdict

_BAND = (0.4, 0.6)
_TREES, _LEAVES = 50, 200
_CONTRACT = contract.default()
_COLUMNS = definitions(_CONTRACT).sets[schema.PUBLISHED].columns
_WINDOW = _CONTRACT.features.window_rows


class _Model(PackageModel):
    """A model without a package."""

    def __init__(self, graph: Path) -> None:
        self.features = _COLUMNS
        self._onnx = OnnxModel(graph.read_bytes())
        known = dict.fromkeys(_COLUMNS, (-np.inf, np.inf))
        self._rule = Abstention.of(_COLUMNS, dict(zip(("low", "high"), _BAND, strict=True)), known)


def _fit(folder: Path) -> None:
    samples = dataset.load(folder / "features", schema.PUBLISHED)
    forest = RandomForestClassifier(_TREES, max_leaf_nodes=_LEAVES, random_state=0)
    fitted = forest.fit(samples.X, samples.y)
    (folder / "model.onnx").write_bytes(to_bytes(forest_model(fitted.estimators_, samples.X)))


def _toolwear(source: Source, graph: Path) -> Callable[[], str]:
    scorer = Scorer(_Model(graph), _WINDOW, _CONTRACT)
    return lambda: str(verdict(scorer, source)["verdict"])


def _plain(source: Source, graph: Path) -> Callable[[], str]:
    """Return what a script does that knows its file: all in memory, no check, no order restored."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options)

    def score() -> str:
        frame = pd.read_csv(source.path).assign(**source.stated())
        features = compute(frame, _WINDOW, _CONTRACT)[list(_COLUMNS)].to_numpy()
        complete = np.isfinite(features).all(axis=1)
        asked = {session.get_inputs()[0].name: features[complete]}
        worn = np.full(len(frame), np.nan)
        worn[complete] = session.run(None, asked)[-1][:, 1]
        judged = worn[frame[mill.PHASE].isin(_CONTRACT.rows.judged)]
        shares = {
            "worn": float((judged >= _BAND[1]).mean()),
            "unworn": float((judged <= _BAND[0]).mean()),
        }
        return majority(shares, "not_sure")

    return score


def _longer(data: Path, times: int, folder: Path) -> tuple[Source, int]:
    """Return the first recording with each row repeated, and the number of its rows."""
    source = next(sources([str(data)], "", _CONTRACT, None, folder))
    frame = pd.read_csv(source.path)
    path = folder / "longer.csv"
    frame.loc[np.repeat(frame.index, times)].to_csv(path, index=False)
    return replace(source, path=path), times * len(frame)


def main() -> None:
    """Score the recording, and write rows, seconds and peak memory."""
    way, times, result = sys.argv[1], int(sys.argv[4]), Path(sys.argv[5])
    folder, data = Path(sys.argv[2]), Path(sys.argv[3])
    if way == "model":
        _fit(folder)
        return
    ways = {"toolwear": _toolwear, "plain": _plain}
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        source, rows = _longer(data, times, Path(scratch))
        work = ways[way](source, folder / "model.onnx")
        wall, cpu = time.perf_counter(), time.process_time()
        said = work()
        used = {
            "wall": time.perf_counter() - wall,
            "cpu": time.process_time() - cpu,
            "peak_mib": own_peak_mib(),
        }
    about = {"rows": rows, "rows_per_second": rows / used["wall"], "verdict": said}
    jsonfile.write(result, about | used)


if __name__ == "__main__":
    main()
