"""From what a client sent to the model's features: computed from raw rows, or fetched by run id.

The transformer and the explainer both use it, so that an explanation sees what the model saw.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from serving.common.outages import StoreSlowError
from serving.common.refusal import Refusal
from serving.common.rows import EntityKeys, FeatureRows, RawRows, Rows
from toolwear.common.errors import ToolwearError
from toolwear.dataset import contract, schema
from toolwear.dataset.contract import DataSet
from toolwear.dataset.limits import limit
from toolwear.features import store
from toolwear.features.compute import compute
from toolwear.features.definitions import definitions
from toolwear.features.store import StoreDownError
from toolwear.model.abstention import NO_WINDOW
from toolwear.model.served import token

RAW, ENTITY, READY = "raw", "entity", "features"
REFUSE, FLAG = "refuse", "flag"
MAX_AGE_SECONDS = 3600.0
STORE_SECONDS = 2.0
_CONTRACT_BYTES = 1 << 20  # unpacked
METADATA_BYTES = 1 << 19  # of an answer of gRPC whose metadata hold a contract, packed
_log = logging.getLogger("toolwear.serving")


@dataclass(frozen=True)
class FeatureSpec:
    """What a model has to be given.

    Attributes:
        feature_set: one of those that the contract names.
        window: cutting rows in a trailing window.
        dataset: contract of the recordings that the model was trained on.
        token: the same as one word, for requests to the predictor.
    """

    feature_set: str
    window: int
    dataset: DataSet
    token: str

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the features."""
        return definitions(self.dataset).sets[self.feature_set].columns

    @cached_property
    def needs_history(self) -> bool:
        """Whether some features need the rows before the one that they are of."""
        return not set(definitions(self.dataset).window_columns).isdisjoint(self.columns)

    @property
    def history(self) -> dict[str, Any]:
        """Tell clients which rows before a row its features need, so that they can cut requests."""
        limits = map(limit, self.dataset.rows.cutting)
        return {
            "rows": self.window if self.needs_history else 0,
            "cutting": [
                {"column": one.column, "below" if one.below else "above": one.value}
                for one in limits
            ],
            "reason": NO_WINDOW,
        }

    @classmethod
    def of_package(cls, description: Mapping[str, Any]) -> FeatureSpec:
        """Return what the description of a package says."""
        return cls(
            description["feature_set"],
            description["window"],
            contract.recorded(description["dataset"], "The model in service"),
            token(description),
        )

    @classmethod
    def of_metadata(cls, packed: bytes) -> FeatureSpec:
        """Return what `packed` has written, whoever sent it."""
        unpacked = zlib.decompressobj()
        text = unpacked.decompress(packed, _CONTRACT_BYTES)
        return cls.of_package(json.loads(text))


def packed(description: Mapping[str, Any]) -> bytes:
    """Return what a package's description says of features, for the metadata of gRPC."""
    said = {name: description[name] for name in ("feature_set", "window", "dataset")}
    return zlib.compress(json.dumps(said).encode(), 9)


@dataclass(frozen=True)
class Freshness:
    """How old features may be.

    Attributes:
        max_age_seconds: from the features' timestamp to now, or to the timestamp asked for.
        stale: REFUSE: older ones are refused with 422; FLAG: used, and the answer says so.
    """

    max_age_seconds: float = MAX_AGE_SECONDS
    stale: str = FLAG


@dataclass(frozen=True)
class Origin:
    """Where the features of one row come from; empty but for features out of the store.

    Attributes:
        run_id: the key.
        when: the features' timestamp, UTC.
        age_seconds: from there to now, or to the timestamp asked for.
        stale: older than allowed.
    """

    run_id: str | None = None
    when: datetime | None = None
    age_seconds: float | None = None
    stale: bool = False


@dataclass(frozen=True, eq=False)
class Features:
    """The features of a request's rows.

    Attributes:
        values: float64 (rows, features), finite except for rows that have none (all NaN): raw
            rows that end no full window.
        kind: RAW, ENTITY or READY.
        origins: one for each row.
        cutting: whether the tool is in the work piece, bool (rows,); None where nobody knows.
        regimes: value of the contract's regime in each row, float64 (rows,); None where nobody
            knows, or the contract has none.
    """

    values: np.ndarray
    kind: str
    origins: tuple[Origin, ...]
    cutting: np.ndarray | None = None
    regimes: np.ndarray | None = None

    @cached_property
    def complete(self) -> np.ndarray:
        """Which rows have features, bool (rows,)."""
        found: np.ndarray = np.isfinite(self.values).all(axis=1)
        return found


class FeatureSource:
    """Turns checked rows into features; threads may share it.

    Args:
        home: the system's folder, in which the feature store is published.
        freshness: how old features may be.
        seconds: how long the store may take.
    """

    def __init__(
        self, home: Path, freshness: Freshness | None = None, seconds: float = STORE_SECONDS
    ) -> None:
        self._home = home
        self._freshness = freshness or Freshness()
        self.seconds = seconds
        # Of its own, so that a store that hangs stops nothing but itself.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="features")
        self._opening = Lock()
        self._opened: tuple[tuple[int, int], store.OnlineStore] | None = None

    def open(self) -> bool:
        """Open the store if one is published, which takes seconds; return whether one is."""
        import feast  # noqa: F401 - if none is published yet, the first request shall not wait

        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)  # Feast sets it; see serving/__init__.py

        try:
            # A first read imports and connects, which may take longer than a request may.
            self._current().values(("no-such-run",), self._current().feature_sets[0])
        except StoreDownError as error:
            _log.warning("recordings can't be answered by id: %s", error)
            return False
        return True

    def close(self) -> None:
        """Let go of the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def features(self, rows: Rows, spec: FeatureSpec) -> Features:
        """Return the features that a model is to be given.

        Raises:
            Refusal: the run is not known, or its features are missing, too old, or newer than
                the timestamp asked for; or no raw row ends a full window.
            StoreDownError: the store does not answer.
            StoreSlowError: it did not answer in time.
        """
        if not isinstance(rows, EntityKeys):
            return self.now(rows, spec)
        reading = asyncio.get_running_loop().run_in_executor(self._thread, self.now, rows, spec)
        try:
            async with asyncio.timeout(self.seconds):
                return await reading
        except TimeoutError:
            raise self.slow() from None

    def now(self, rows: Rows, spec: FeatureSpec) -> Features:
        """Return the same in the calling thread, however long the store takes.

        Raises:
            Refusal, StoreDownError: as `features`.
        """
        if isinstance(rows, FeatureRows):
            return Features(rows.values, READY, (Origin(),) * len(rows))
        if isinstance(rows, RawRows):
            return computed(rows, spec)
        return self._checked(rows, self._read(rows.run_ids, spec.feature_set), spec)

    def slow(self) -> StoreSlowError:
        """Return what to raise when the store took longer than it may."""
        return StoreSlowError(f"no answer in {self.seconds:g} s")

    def _read(self, run_ids: tuple[str, ...], feature_set: str) -> list[store.Latest | None]:
        try:
            return self._current().values(run_ids, feature_set)
        except StoreDownError:
            self._opened = None  # opened anew by the next request
            raise

    def _current(self) -> store.OnlineStore:
        """Return the store that was published last."""
        published = store.published(self._home)
        if published is None:
            self._opened = None
            raise StoreDownError(f"nothing is published in {self._home}")
        opened = self._opened  # mark and store together: threads share them
        if opened is not None and opened[0] == published:
            return opened[1]
        with self._opening:
            opened = self._opened
            if opened is None or opened[0] != published:
                try:
                    opened = published, store.open_store(self._home)
                except (ToolwearError, OSError) as error:
                    raise StoreDownError(str(error)) from error
                self._opened = opened
        return opened[1]

    def _checked(
        self, keys: EntityKeys, found: list[store.Latest | None], spec: FeatureSpec
    ) -> Features:
        now = datetime.now(UTC)
        origins, values = [], []
        for run_id, asked, latest in zip(keys.run_ids, keys.timestamps, found, strict=True):
            if latest is None:
                raise Refusal("unknown_run", f"The feature store knows no run {run_id}.", 422)
            missing = np.flatnonzero(~np.isfinite(latest.values))
            if len(missing):
                raise Refusal(
                    "no_features",
                    f"The feature store has no {spec.columns[missing[0]]} of run {run_id}.",
                    422,
                )
            origins.append(self._origin(run_id, asked, latest.when, now))
            values.append(latest.values)
        return Features(np.array(values), ENTITY, tuple(origins))

    def _origin(self, run_id: str, asked: datetime | None, when: datetime, now: datetime) -> Origin:
        age = ((asked or now) - when).total_seconds()
        if asked is not None and age < 0:
            raise Refusal(
                "timestamp",
                f"The newest features of run {run_id} are of {when.isoformat()}, later than the "
                "timestamp asked for; the store keeps no earlier ones.",
                422,
            )
        limit = self._freshness.max_age_seconds
        stale = age > limit
        if stale and self._freshness.stale == REFUSE:
            raise Refusal(
                "stale",
                f"The newest features of run {run_id} are of {when.isoformat()}, older than the "
                f"{limit:g} s that are allowed; push newer ones.",
                422,
            )
        return Origin(run_id, when, round(age, 3), stale)


def _regimes(rows: RawRows, dataset: DataSet) -> np.ndarray | None:
    if not dataset.regime:
        return None
    return rows.frame[dataset.regime[0]].to_numpy(dtype=np.float64)


def computed(rows: RawRows, spec: FeatureSpec) -> Features:
    """Return the features of raw rows, by the function that training used.

    Raises:
        Refusal: they lack a column that the model needs, or no row ends a full window.
    """
    try:
        table = compute(rows.frame, spec.window, spec.dataset)
    except ToolwearError as error:  # another machine's model came into service meanwhile
        raise Refusal("name", str(error)) from None
    features = Features(
        table[list(spec.columns)].to_numpy(dtype=np.float64),
        RAW,
        (Origin(),) * len(rows),
        table[schema.IS_CUTTING].to_numpy(dtype=bool),
        _regimes(rows, spec.dataset),
    )
    if not features.complete.any():
        raise Refusal(
            "no_features",
            f"The model needs a window of {spec.window} cutting rows, and no row here ends one; "
            "send the rows before it too.",
            422,
        )
    return features
