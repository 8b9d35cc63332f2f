"""Parts behind a server that are down or slow, and what the caller is told of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from types import MappingProxyType

from toolwear.features.store import StoreDownError


class PredictorDownError(Exception):
    """The predictor does not answer."""


class PredictorSlowError(Exception):
    """The predictor did not answer in time."""


class StoreSlowError(Exception):
    """The feature store did not answer in time."""


SENTENCES: Mapping[type[Exception], tuple[int, str]] = MappingProxyType(
    {
        PredictorDownError: (503, "The model does not answer at the moment; try again."),
        PredictorSlowError: (504, "The model did not answer in time; try again."),
        StoreDownError: (503, "The feature store does not answer at the moment; try again."),
        sqlite3.Error: (
            503,
            "The Idempotency-Key cannot be kept at the moment; try again, or without one.",
        ),
        StoreSlowError: (504, "The feature store did not answer in time; try again."),
    }
)
