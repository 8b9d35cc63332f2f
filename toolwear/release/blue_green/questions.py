"""What a model that was put up is asked before it gets traffic: rows whose answers are known.

The rows are recordings, sent as a client sends them; their answers come from the package itself,
over features that the training's own function makes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd

from toolwear.common.errors import ToolwearError
from toolwear.common.tables import read_frame
from toolwear.dataset import contract, schema
from toolwear.dataset.contract import DataSet
from toolwear.features.compute import compute
from toolwear.model.onnx_model import OnnxModel
from toolwear.model.package import Package

TOLERANCE = 1e-9  # of a probability: the same graph on the same features
_ROWS = 200  # in a request
_KEPT_RUNS, _KEPT_ROWS = 3, 12_000  # more rows than the longest window
_POLL_SECONDS = 0.5


@dataclass(frozen=True, eq=False)
class Known:
    """Rows of one run as a client sends them, up to one that has an answer, and the answers.

    Attributes:
        digest: of the package that gave the answers.
        rows: consecutive telemetry.
        worn: P(worn) of each, float64 (rows,), NaN where the model needs more rows before it.
    """

    digest: str
    rows: list[dict[str, Any]]
    worn: np.ndarray


@dataclass(frozen=True)
class Answer:
    """A question's name, whether the answer is right, and a sentence with numbers."""

    name: str
    passed: bool
    sentence: str


@dataclass(frozen=True)
class Address:
    """Where a model that was put up answers."""

    transformer: str
    explainer: str
    model_name: str


def known_rows(telemetry: Path, package: Package) -> Known:
    """Return rows of the first run of the recordings that the package can answer.

    Raises:
        ToolwearError: there is none.
    """
    return known_among(_recorded(telemetry), package)


def known_among(runs: Iterable[pd.DataFrame], package: Package) -> Known:
    """Return rows of the first of some runs that the package can answer.

    Args:
        runs: a run's rows each, as a client sends them.
        package: that is asked.

    Raises:
        ToolwearError: there is none.
    """
    model = OnnxModel(package.model)
    for frame in runs:
        table = compute(frame, package.description["window"], package.dataset)
        X = table[list(package.features)].to_numpy(dtype=np.float64)
        complete = np.flatnonzero(np.isfinite(X).all(axis=1))
        if not len(complete):
            continue
        # All before the last complete row, as many as fit into a request.
        end = int(complete[min(_ROWS, len(complete)) - 1]) + 1
        start = max(0, end - _ROWS)
        asked = frame.iloc[start:end].reset_index(drop=True)
        worn = _answers(asked, package, model)
        if np.isfinite(worn).any():
            return Known(package.digest, _records(asked), worn)
    raise ToolwearError("No run of the recordings has a row that the model can answer.")


def keep_rows(telemetry: Path, path: Path) -> None:
    """Keep rows of a few runs in one file, to ask models about when no recordings are at hand."""
    frames = []
    for number, frame in enumerate(_recorded(telemetry)):
        frames.append(frame.head(_KEPT_ROWS).assign(**{schema.RUN_ID: number}))
        if len(frames) == _KEPT_RUNS:
            break
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    pd.concat(frames).to_parquet(partial, index=False)
    partial.replace(path)


def kept_rows(path: Path) -> Iterator[pd.DataFrame]:
    """Yield the runs that `keep_rows` has kept.

    Raises:
        ToolwearError: it never was called for this file.
    """
    if not path.exists():
        raise ToolwearError(
            f"There are no recorded rows in {path} to ask a model about; a run with "
            "deploy_model=true or approval=true leaves them there."
        )
    for _, rows in read_frame(path).groupby(schema.RUN_ID, sort=True):
        yield rows.drop(columns=schema.RUN_ID).reset_index(drop=True)


def _recorded(telemetry: Path) -> Iterator[pd.DataFrame]:
    dataset = contract.of(telemetry)
    settings = pd.read_parquet(telemetry / "runs.parquet").set_index(schema.RUN_ID)
    for path in sorted(telemetry.glob("part-*.parquet")):
        for run_id, rows in pd.read_parquet(path).groupby(schema.RUN_ID, sort=False):
            yield _sent(rows, settings.loc[str(run_id)].to_dict(), dataset)


def _sent(rows: pd.DataFrame, settings: Mapping[Hashable, Any], dataset: DataSet) -> pd.DataFrame:
    phases, numbers = dataset.phases, [*dataset.numbers, *dataset.settings]
    frame = rows.assign(**{name: settings[name] for name in dataset.settings})
    finite = np.isfinite(frame[numbers].to_numpy(dtype=np.float64)).all(axis=1)
    known = frame[phases.column].isin(phases.names)
    frame = frame.loc[finite & known, [*numbers, phases.column]]
    return frame.astype(dict.fromkeys(numbers, np.float64)).reset_index(drop=True)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def _answers(asked: pd.DataFrame, package: Package, model: OnnxModel) -> np.ndarray:
    table = compute(asked, package.description["window"], package.dataset)
    X = table[list(package.features)].to_numpy(dtype=np.float64)
    complete = np.isfinite(X).all(axis=1)
    worn = np.full(len(X), np.nan)
    worn[complete] = model.worn(X[complete])
    return worn


def ask(at: Address, known: Known, seconds: float) -> list[Answer]:
    """Ask everything and return the answers; wait up to `seconds` for the first to come.

    Raises:
        httpx.HTTPError: the model does not answer.
    """
    with httpx.Client(timeout=90) as client:
        _wait_until_ready(client, at, seconds)
        return [
            *_predictions(client, at, known),
            _faulty(client, at, known),
            _explanation(client, at, known),
        ]


def _wait_until_ready(client: httpx.Client, at: Address, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    urls = [f"{url}/v2/models/{at.model_name}/ready" for url in (at.transformer, at.explainer)]
    while True:
        try:
            for url in urls:
                client.get(url, timeout=5).raise_for_status()
        except httpx.HTTPError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_POLL_SECONDS)
        else:
            return


def _predictions(client: httpx.Client, at: Address, known: Known) -> list[Answer]:
    response = _post(client, at.transformer, at.model_name, "predict", {"instances": known.rows})
    if response.status_code != httpx.codes.OK:
        return [_refused("known rows", response)]
    body = response.json()
    given = [item["probability"] for item in body["predictions"]]
    found = np.array([np.nan if p is None else p for p in given], dtype=np.float64)
    complete = np.isfinite(known.worn)
    same = len(found) == len(known.worn) and bool((np.isfinite(found) == complete).all())
    difference = float(np.abs(found - known.worn)[complete].max()) if same else np.inf
    served = str(body["receipt"]["package_digest"])
    return [
        Answer(
            "known rows",
            difference <= TOLERANCE,
            f"{int(complete.sum())} of {len(known.rows)} rows have an answer, within "
            f"{difference:.1e} of the package's own ({TOLERANCE:g} allowed).",
        ),
        Answer(
            "package",
            served == known.digest,
            f"It serves the package {served[:12]}; the one to deploy is {known.digest[:12]}.",
        ),
    ]


def _faulty(client: httpx.Client, at: Address, known: Known) -> Answer:
    first, *others = known.rows[-1]
    row = {name: known.rows[-1][name] for name in others}
    response = _post(client, at.transformer, at.model_name, "predict", {"instances": [row]})
    return Answer(
        "faulty request",
        response.status_code == httpx.codes.BAD_REQUEST,
        f"A row without {first} was answered with {response.status_code}; 400 is right.",
    )


def _explanation(client: httpx.Client, at: Address, known: Known) -> Answer:
    last = int(np.flatnonzero(np.isfinite(known.worn))[-1])
    alone = np.isfinite(known.worn).all()  # then no row needs those before it
    rows = known.rows[last : last + 1] if alone else known.rows[: last + 1]
    question = {"method": "shap", "instances": rows, "package_digest": known.digest}
    response = _post(client, at.explainer, at.model_name, "explain", question)
    if response.status_code != httpx.codes.OK:
        return _refused("explanation", response)
    body = response.json()
    row = body["data"]["rows"][0]
    total = body["data"]["base_value"] + sum(row["values"])
    off = max(abs(total - known.worn[last]), abs(row["prediction"] - known.worn[last]))
    return Answer(
        "explanation",
        off <= TOLERANCE and body["meta"]["model"]["package_digest"] == known.digest,
        f"SHAP's values and base add up to the package's own answer within {off:.1e} "
        f"({TOLERANCE:g} allowed).",
    )


def _post(
    client: httpx.Client, url: str, model: str, verb: str, body: dict[str, Any]
) -> httpx.Response:
    return client.post(f"{url}/v1/models/{model}:{verb}", json=body)


def _refused(name: str, response: httpx.Response) -> Answer:
    return Answer(name, False, f"{name}: {response.status_code} {response.text[:200]}")
