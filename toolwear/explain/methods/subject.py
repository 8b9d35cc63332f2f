"""What every method is given, and the one envelope in which every method answers.

The envelope keeps alibi's habit of `meta` (what was done, with which version and settings) and
`data` (fixed keys per method), and adds `quality`: how far the explanation can be trusted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import metadata
from typing import Any, TypedDict

import numpy as np

from toolwear.common.errors import ToolwearError
from toolwear.model.reference import background_places

Predict = Callable[[np.ndarray], np.ndarray]
_GLOBAL_GENERATOR = threading.Lock()
_version = cache(metadata.version)  # milliseconds a call: it parses a file


class Envelope(TypedDict):
    """One explanation: plain values, ready for JSON."""

    meta: dict[str, Any]
    data: dict[str, Any]
    quality: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Subject:
    """A model to be explained, with the rows that stand for what it was trained on.

    Attributes:
        predict: P(worn), shape (rows,), for float64 rows (rows, features).
        background: float64 (n, features), finite, at least two rows.
        names: of the features, in the model's order.
        seed: of everything that a method draws.
        model_sha256: of the model file, for the record.
        run: of each background row, str (n,): samples then hold rows of each run; None: any rows.

    Raises:
        ToolwearError: background, names and model do not fit together.
    """

    predict: Predict
    background: np.ndarray
    names: tuple[str, ...]
    seed: int = 0
    model_sha256: str | None = None
    run: np.ndarray | None = None

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            raise ToolwearError("The feature names repeat; give each feature a name of its own.")
        if len(self.background) < 2:
            raise ToolwearError(
                f"An explanation needs at least 2 background rows, not {len(self.background)}; "
                "give rows of the training data."
            )
        object.__setattr__(self, "background", self.checked(self.background, "background"))

    def checked(self, rows: np.ndarray, what: str = "rows to explain") -> np.ndarray:
        """Return rows as float64 (rows, features).

        Raises:
            ToolwearError: another number of columns than names, no row, or a value not finite.
        """
        rows = np.asarray(rows, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self.names):
            raise ToolwearError(
                f"The {what} have the shape {rows.shape}, but the model has {len(self.names)} "
                "features; give one row per prediction and one column per feature."
            )
        if not len(rows):
            raise ToolwearError(f"There are no {what}; give at least one row.")
        if not np.isfinite(rows).all():
            column = self.names[int(np.flatnonzero(~np.isfinite(rows).all(axis=0))[0])]
            raise ToolwearError(
                f"The {what} hold a missing or infinite {column}; give finite numbers."
            )
        return rows

    def places(self, count: int, seed: int) -> np.ndarray:
        """Return the places of `count` background rows, or of all if there are fewer."""
        run = np.zeros(len(self.background)) if self.run is None else self.run
        return background_places(run, count, seed)

    def sample(self, count: int) -> np.ndarray:
        """Return `count` background rows drawn without repeats, or all if there are fewer."""
        return self.background[self.places(count, self.seed)]

    def drawn(self, count: int, seed: int | None = None) -> Subject:
        """Return the model with `count` rows of its background, drawn by `seed` or its own."""
        places = self.places(count, self.seed if seed is None else seed)
        run = None if self.run is None else self.run[places]
        return replace(self, background=self.background[places], run=run)

    def fit_and_check_rows(self, held_out: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return rows to fit on and other rows to check on.

        Without `held_out` the background is cut into two random halves.
        """
        if held_out is not None:
            return self.background, self.checked(held_out, "held-out rows")
        order = np.random.default_rng(self.seed).permutation(len(self.background))
        middle = len(order) // 2
        return self.background[order[:middle]], self.background[order[middle:]]


def envelope(
    subject: Subject,
    method: str,
    library: str,
    settings: Any,
    data: Mapping[str, Any],
    quality: Mapping[str, Any],
) -> Envelope:
    """Return the envelope of one method; `settings` is the dataclass that it ran with."""
    meta = {
        "method": method,
        "library": library,
        "version": _version(library),
        "settings": asdict(settings),
        "seed": subject.seed,
        "model_sha256": subject.model_sha256,
        "features": list(subject.names),
        "background_rows": len(subject.background),
    }
    return {"meta": meta, "data": dict(data), "quality": dict(quality)}


def is_worn(probability: np.ndarray) -> np.ndarray:
    """Return the labels of P(worn): 1 above one half, 0 at it, as the graph's argmax has it."""
    return (np.asarray(probability) > 0.5).astype(np.int64)


def by_name(names: Sequence[str], values: np.ndarray) -> dict[str, float]:
    """Return one value per feature, in the features' order."""
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def wilson(hits: int, trials: int) -> list[float] | None:
    """Return the 95 % Wilson interval of a share, or None without trials."""
    from scipy.stats import binomtest

    if not trials:
        return None
    interval = binomtest(hits, trials).proportion_ci(0.95, method="wilson")
    return [float(interval.low), float(interval.high)]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator for libraries that draw from it, and put it back after.

    One thread at a time: two explanations would otherwise share one stream of numbers.
    """
    with _GLOBAL_GENERATOR:
        state = np.random.get_state()  # noqa: NPY002 - the generator that shap and alibi use
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002
