"""Whole recordings: one is sent as a file, and the model behind gives one verdict."""

from __future__ import annotations

import asyncio
import errno
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pandas as pd
from starlette.requests import Request

from serving.common.body import spool
from serving.common.caller import REQUEST_ID, Caller
from serving.common.lane import Lane
from serving.common.outages import PredictorDownError
from serving.common.refusal import Refusal
from serving.transformer.hop import FeaturesChangedError, Hop, Serves
from serving.transformer.metrics import RECORDINGS_UNDER_WAY
from toolwear.common.errors import ToolwearError
from toolwear.common.request_limits import (
    ROWS,
    SCORE_ANSWERED_ROWS,
    SCORE_BODY_SECONDS,
    SCORE_PLACES,
    SCORE_ROWS,
    SCORE_SECONDS,
)
from toolwear.dataset.contract import DataSet
from toolwear.model.abstention import NOT_SURE
from toolwear.model.judged import Judged, told
from toolwear.scoring.known import latest_contract
from toolwear.scoring.logic import Scorer
from toolwear.scoring.sources import Source, checked_settings
from toolwear.scoring.verdict import answers, verdict
from toolwear.workspace.home import Home

CSV, PARQUET, JSON_LINES = "text/csv", "application/vnd.apache.parquet", "application/x-ndjson"
ANY = "application/octet-stream"
TYPES = (CSV, PARQUET, JSON_LINES, ANY)
ROWS_ASKED = "rows"  # parameter of the query
_NAME = "The recording"  # what sentences call the file
_KIND = "score"
_SWAPS = 3  # models that may be swapped in while one recording is scored
_RETRY_SECONDS = 5
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Scoring:
    """Scores recordings one at a time: each keeps a processor busy for a while.

    Args:
        hop: to the predictor.
        model: its name.
        home: the system's folder, which knows how recordings are read.
        most_bytes: of a recording as it is sent.
    """

    def __init__(self, hop: Hop, model: str, home: Home, most_bytes: int) -> None:
        self._hop = hop
        self._model = model
        self._home = home
        self._most = most_bytes
        self._lane = Lane(_KIND, SCORE_PLACES, RECORDINGS_UNDER_WAY)
        self._open = 0

    def close(self) -> None:
        """Take no more."""
        self._lane.close()

    async def take(self, request: Request) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the verdict of the recording in a request's body, and headers.

        Raises:
            Refusal: it can't be scored, is too long, or too many are under way.
            PredictorDownError, PredictorSlowError: what they say.
        """
        caller = Caller.of(request.headers)
        dataset = await asyncio.to_thread(self._reads)
        asked = _asked(request, dataset)
        if self._open >= SCORE_PLACES:
            raise Refusal(
                "busy",
                f"Too many recordings are under way; try again in {_RETRY_SECONDS} s.",
                429,
                _RETRY_SECONDS,
            )
        self._open += 1
        try:
            with tempfile.TemporaryDirectory(prefix="toolwear-") as folder:
                path = Path(folder) / _NAME
                with path.open("xb") as target:
                    await spool(request, target, self._most, SCORE_BODY_SECONDS)
                end = monotonic() + SCORE_SECONDS
                found = await self._lane.run(
                    _KIND, lambda: self._scored(path, dataset, asked, end), SCORE_SECONDS
                )
        except TimeoutError:
            raise Refusal(
                "slow",
                f"The recording was not scored within {SCORE_SECONDS:.0f} s; try again, or send it "
                "in parts.",
                503,
                _RETRY_SECONDS,
            ) from None
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise Refusal(
                "busy", "The server has no room for a recording now.", 503, _RETRY_SECONDS
            ) from None
        finally:
            self._open -= 1
        headers = {REQUEST_ID: caller.request_id} if caller.request_id is not None else {}
        return found | {"recording": caller.recording}, headers

    def _reads(self) -> DataSet:
        """Return the contract that reads recordings: the latest training's, else the model's."""
        return latest_contract(self._home) or self._hop.spec().dataset

    def _scored(self, path: Path, dataset: DataSet, asked: _Asked, end: float) -> dict[str, Any]:
        """Score by one model; if another is swapped in meanwhile, by that one from the start."""
        for _ in range(_SWAPS):
            served = _ServedModel(self._hop, self._hop.serves(), end)
            try:
                return self._by(served, path, dataset, asked)
            except FeaturesChangedError:
                continue
        raise PredictorDownError(f"its model changed {_SWAPS} times during one recording")

    def _by(
        self, served: _ServedModel, path: Path, dataset: DataSet, asked: _Asked
    ) -> dict[str, Any]:
        serves, spec = served.serves, served.serves.spec
        most = SCORE_ANSWERED_ROWS if asked.rows else SCORE_ROWS
        unless = " or ask without rows=true" if asked.rows else ""

        def watch(rows: int) -> None:
            served.check_time()
            if rows > most:
                raise Refusal(
                    "too_many_rows",
                    f"{_NAME} has more than {most:,} rows; send it in parts{unless}.",
                    413,
                )

        rows: list[dict[str, Any]] = []

        def take(frame: pd.DataFrame, found: Judged, worn: np.ndarray) -> None:
            told_of = answers(frame, found, worn)
            for row in zip(*(column.tolist() for column in told_of.values()), strict=True):
                answer = dict(zip(told_of, row, strict=True))
                gone = np.isnan(answer["probability"])
                rows.append(answer | ({"probability": None} if gone else {}))

        source = Source(path, _NAME, dataset, asked.settings)
        scorer = Scorer(served, spec.window, spec.dataset)
        try:
            found = verdict(scorer, source, take if asked.rows else None, watch)
        except ToolwearError as error:
            raise Refusal("recording", str(error), 422) from None
        about = {
            "model": self._model,
            "version": serves.version,
            "package": serves.package,
            "use": serves.use,
        }
        return found | about | ({"answers": rows} if asked.rows else {})


class _ServedModel:
    """The model that a predictor serves, as a scorer asks it.

    Args:
        hop: to the predictor.
        serves: what it serves; another model raises `FeaturesChangedError`.
        end: on the monotonic clock, after which it is too late: `TimeoutError`.
    """

    def __init__(self, hop: Hop, serves: Serves, end: float) -> None:
        self.serves = serves
        self.features = serves.spec.columns
        self._hop = hop
        self._end = end

    def check_time(self) -> None:
        """Raise `TimeoutError` if nobody waits any more."""
        if monotonic() > self._end:
            raise TimeoutError

    def judge(self, values: np.ndarray) -> tuple[Judged, np.ndarray]:
        """Return the answers to rows of features; see `PackageModel.judge`."""
        complete = np.flatnonzero(np.isfinite(values).all(axis=1))
        worn = np.full(len(values), np.nan)
        said = np.full(len(values), NOT_SURE, dtype=object)
        reasons = np.full(len(values), "", dtype=object)
        for start in range(0, len(complete), ROWS):
            self.check_time()
            rows = complete[start : start + ROWS]
            answer = self._hop.answer(values[rows], self.serves.spec, "")
            if answer.proof["package_digest"] != self.serves.package:
                raise FeaturesChangedError
            worn[rows] = answer.probability
            said[rows], reasons[rows] = answer.answers, answer.reasons
        found = told(said.tolist(), reasons.tolist())
        none = np.isnan(worn)
        return replace(found, strange=found.strange & ~none), worn


@dataclass(frozen=True)
class _Asked:
    settings: Mapping[str, float]
    rows: bool


def _asked(request: Request, dataset: DataSet) -> _Asked:
    """Return what the query asks for.

    Raises:
        Refusal: a setting is missing or faulty, or the body is of another type.
    """
    kind = request.headers.get("content-type", ANY).partition(";")[0].strip().lower()
    if kind not in TYPES:
        raise Refusal("content_type", f"Send the recording as {', '.join(TYPES)}.", 415)
    items = request.query_params.multi_items()
    given = dict(items)
    if len(given) < len(items):
        raise Refusal("request", "The query says something twice.")
    rows = given.pop(ROWS_ASKED, "false")
    if rows not in ("true", "false"):
        raise Refusal("request", f'"{ROWS_ASKED}" has to be true or false.')
    try:
        settings = checked_settings(given, "The query", dataset)
    except ToolwearError as error:
        raise Refusal("request", str(error)) from None
    return _Asked(settings, rows == "true")
