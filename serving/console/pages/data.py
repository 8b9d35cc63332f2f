"""Data: distributions, recent requests against training data, correlations, the checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from scipy.stats import ks_2samp
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from serving.console import evidence, recordings, svg
from serving.console.pages.base import Console
from serving.console.signals import in_words
from serving.payload import log as payload_log
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.files import TEXT_BYTES, see_regular
from toolwear.common.tables import see_table
from toolwear.dataset import contract, schema
from toolwear.features.definitions import definitions
from toolwear.release import champion as pointer
from toolwear.scoring.known import known_contract

_COLUMNS = "columns"
# What distributions are shown of: the step and the artifact that have it.
_KINDS = {_COLUMNS: ("ingest", "telemetry"), "features": ("features", "features")}
_BINS = 30
_TAIL = 0.001  # of the rows at either end that the first and last bins gather
_NEWEST_ROWS = 2000  # of the payload log that are held against the reference
_LEAST_ROWS = 30


class DataPages:
    """The routes of Data."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def data(self, _request: Request) -> Response:
        """Show the page; its plots follow."""
        folder = recordings.telemetry(self._console.home)
        manifest = jsonfile.read(folder / "manifest.json") if folder else None
        table = recordings.table(self._console.home)
        return self._console.page(
            "data.html.j2",
            manifest=manifest,
            checks=self._checks(),
            worn=int((table[schema.LABEL] == 1).sum()) if manifest else 0,
        )

    def _checks(self) -> dict[str, Any] | None:
        folder = self._validation()
        if folder is None:
            return None
        result: dict[str, Any] = jsonfile.read(folder / "result.json")
        result["failing"] = [item for item in result["expectations"] if not item["success"]]
        return result

    def _validation(self) -> Path | None:
        latest = evidence.latest(self._console.home)
        if latest is None:
            return None
        return evidence.artifact(self._console.home, latest, "validate", "validation")

    def distributions(self, request: Request) -> Response:
        """Show every column, worn against unworn: what is recorded, or the features."""
        kind = request.query_params.get("of", _COLUMNS)
        if kind not in _KINDS:
            return self._console.page("fault.html.j2", 404, sentence="There is no such table.")
        frame, worn = self._frame(kind)
        if frame is None:
            return self._console.page("fault.html.j2", sentence="There are no recordings yet.")
        columns = self._shown(kind, frame, worn)
        return self._console.page("distributions.html.j2", columns=columns, kind=kind)

    def clearest(self, _request: Request) -> Response:
        """Show the recorded column that differs most between worn and unworn tools."""
        frame, worn = self._frame(_COLUMNS)
        if frame is None:
            return self._console.page("fault.html.j2", sentence="There are no recordings yet.")
        columns = self._shown(_COLUMNS, frame, worn)
        column = max(columns, key=lambda item: float(item["distance"]))
        said = in_words(known_contract(self._console.home), column["name"])
        return self._console.page("clearest.html.j2", column=column, said=said)

    def _shown(self, kind: str, frame: pd.DataFrame, worn: np.ndarray) -> list[dict[str, Any]]:
        key = ("distributions", kind, self._key())
        return self._console.kept.get(key, lambda: _distributions(frame, worn))

    def correlations(self, _request: Request) -> Response:
        """Show the clustered correlation matrix."""
        frame, _ = self._frame(_COLUMNS)
        if frame is None:
            return self._console.page("fault.html.j2", sentence="There are no recordings yet.")
        shown = self._console.kept.get(("correlations", self._key()), lambda: _correlations(frame))
        return self._console.page("correlations.html.j2", **shown)

    def window(self, _request: Request) -> Response:
        """Compare recent requests with the model's training data."""
        home = self._console.home.root
        try:
            champion, package = pointer.read_package(home)
        except ToolwearError as error:
            return self._console.page("fault.html.j2", sentence=str(error))
        asked = payload_log.newest(home, _NEWEST_ROWS)
        asked = asked[asked["package_digest"] == champion.package_digest]
        if len(asked) < _LEAST_ROWS:
            return self._console.page(
                "note.html.j2",
                sentence=f"The champion has answered {len(asked)} rows so far; from "
                f"{_LEAST_ROWS} rows on they are compared with its training data here.",
            )
        reference = package.reference()["X"]
        rows = asked[list(package.features)].to_numpy(dtype=np.float64)
        shown = [
            _against(name, reference[:, j], rows[:, j]) for j, name in enumerate(package.features)
        ]
        shown.sort(key=lambda item: -item["distance"])
        return self._console.page(
            "window.html.j2", shown=shown, rows=len(asked), reference=len(reference)
        )

    def docs(self, request: Request) -> Response:
        """Give a file of what the checks wrote: their report and Great Expectations' Data Docs."""
        folder = self._validation()
        root = folder.resolve() if folder else None
        path = (root / request.path_params["path"]).resolve() if root else None
        if root is None or path is None or not path.is_relative_to(root) or not path.is_file():
            return self._console.page("missing.html.j2", 404)
        return FileResponse(see_regular(path, TEXT_BYTES))

    def _key(self) -> str:
        folder = recordings.telemetry(self._console.home)
        return "" if folder is None else str(folder)

    def _frame(self, kind: str) -> tuple[pd.DataFrame | None, np.ndarray]:
        """Return the columns or the features of all rows, and which rows are of worn tools."""
        home = self._console.home
        latest = evidence.latest(home)
        step, name = _KINDS[kind]
        folder = evidence.artifact(home, latest, step, name) if latest else None
        if folder is None:
            return None, np.empty(0, dtype=bool)

        def load() -> tuple[pd.DataFrame, np.ndarray]:
            dataset = contract.of(folder)
            if kind == _COLUMNS:
                parts, names = sorted(folder.glob("part-*.parquet")), dataset.numbers
                frame = _read(parts, [schema.RUN_ID, *names])
                runs = frame.pop(schema.RUN_ID)
            else:
                parts = sorted((folder / "features").glob("part-*.parquet"))
                frame = _read(parts, [schema.SAMPLE_ID, *definitions(dataset).columns])
                runs = frame.pop(schema.SAMPLE_ID).str.partition(":")[0]
            table = recordings.table(home).set_index(schema.RUN_ID)[schema.LABEL]
            return frame, runs.map(table).to_numpy() == 1

        return self._console.kept.get(("frame", kind, str(folder)), load)


def _read(parts: list[Path], columns: list[str]) -> pd.DataFrame:
    seen = [see_table(part) for part in parts]
    frame: pd.DataFrame = ds.dataset(seen, format="parquet").to_table(columns=columns).to_pandas()
    return frame


def _distributions(frame: pd.DataFrame, worn: np.ndarray) -> list[dict[str, Any]]:
    found = []
    for name in frame.columns:
        values = frame[name].to_numpy(dtype=np.float64)
        known = np.isfinite(values)
        two = [values[known & worn], values[known & ~worn]]
        edges = _edges(values[known])
        found.append(
            {
                "name": name,
                "plot": svg.histogram(
                    f"{name}, worn against unworn",
                    edges,
                    [(style, _share(part, edges)) for style, part in zip(_TWO, two, strict=True)],
                ),
                "worn": _figures(two[0]),
                "unworn": _figures(two[1]),
                "distance": _distance(*two),
            }
        )
    return found


_TWO = (schema.WORN, schema.UNWORN)


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(ks_2samp(one, other).statistic) if len(one) and len(other) else 0.0


def _against(name: str, reference: np.ndarray, asked: np.ndarray) -> dict[str, Any]:
    asked = asked[np.isfinite(asked)].astype(np.float64)
    edges = _edges(np.concatenate((reference, asked)))
    return {
        "name": name,
        "plot": svg.histogram(
            f"{name}, recent requests against training data",
            edges,
            [("c2", _share(reference, edges)), ("c0", _share(asked, edges))],
        ),
        "reference": _figures(reference),
        "asked": _figures(asked),
        "distance": _distance(reference, asked),
    }


def _correlations(frame: pd.DataFrame) -> dict[str, Any]:
    varying = frame.loc[:, frame.std() > 0]
    values = np.nan_to_num(varying.corr(method="spearman").to_numpy(), nan=0.0)
    distance = 1 - np.abs((values + values.T) / 2)
    np.fill_diagonal(distance, 0.0)
    order = leaves_list(linkage(squareform(distance, checks=False), "average"))
    names = [str(varying.columns[i]) for i in order]
    values = values[np.ix_(order, order)]
    upper = [(abs(values[i, j]), i, j) for i in range(len(names)) for j in range(i)]
    return {
        "plot": svg.heatmap("Rank correlation of the columns, clustered", names, values),
        "strongest": [
            (names[j], names[i], f"{values[i, j]:+.3f}")
            for _, i, j in sorted(upper, reverse=True)[:20]
        ],
        "left_out": sorted(set(frame.columns) - set(varying.columns)),
    }


def _edges(values: np.ndarray) -> np.ndarray:
    if not len(values):
        return np.linspace(0, 1, _BINS + 1)
    low, high = np.quantile(values, [_TAIL, 1 - _TAIL])
    return np.linspace(low, high if high > low else low + 1, _BINS + 1)


def _share(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
    return counts / max(1, len(values))


def _figures(values: np.ndarray) -> str:
    if not len(values):
        return "no rows"
    low, median, high = (svg.number(float(v)) for v in np.quantile(values, [0.05, 0.5, 0.95]))
    return f"{median} ({low} to {high})"
