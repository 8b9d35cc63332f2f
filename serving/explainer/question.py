"""What a client asks: which method, about which prediction, by which seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from serving.common.features import Features
from serving.common.refusal import Refusal
from serving.common.rows import RawRows, Rows, parse_instances
from serving.explainer.explained import Explained
from toolwear.explain.registry import DEFAULT_SEED, METHODS, MOST_SAMPLES, SHAP, Method

LARGEST_SEED = 2**31 - 1
_KEYS = frozenset({"instances", "method", "seed", "samples", "package_digest"})


@dataclass(frozen=True, eq=False)
class Question:
    """A checked request.

    Attributes:
        name: of the method.
        seed: of everything that the method draws.
        samples: background rows for SHAP; None for the default.
        rows: where the prediction's features come from; None for the model as a whole.
    """

    name: str
    seed: int
    samples: int | None
    rows: Rows | None

    @property
    def method(self) -> Method:
        """The method."""
        return METHODS[self.name]


def parse(payload: dict[str, Any], explained: Explained) -> Question:
    """Return the question of a request's body.

    Raises:
        Refusal: it is not one, or it is about another model than `explained`.
    """
    unknown = sorted(payload.keys() - _KEYS)
    if unknown:
        raise Refusal("request", f'There is no key "{unknown[0][:40]}" in a question.')
    name = payload.get("method")
    if type(name) is not str or name not in METHODS:
        raise Refusal("method", f'"method" has to be one of {", ".join(METHODS)}.')
    seed = payload.get("seed", DEFAULT_SEED)
    if type(seed) is not int or not 0 <= seed <= LARGEST_SEED:
        raise Refusal("request", f'"seed" has to be a whole number from 0 to {LARGEST_SEED}.')
    _check_digest(payload.get("package_digest"), explained)
    return Question(name, seed, _samples(payload, name), _rows(payload, name, explained))


def _check_digest(wanted: Any, explained: Explained) -> None:
    served = explained.served
    if wanted is not None and wanted != served.package.digest:
        raise Refusal(
            "other_model",
            f"The model explained here is version {served.proof['version']}, package "
            f"{served.package.digest}, not the one asked for.",
            422,
        )


def _samples(payload: dict[str, Any], name: str) -> int | None:
    samples = payload.get("samples")
    if samples is None:
        return None
    if name != SHAP:
        raise Refusal("request", f'"samples" is for {SHAP} only.')
    if type(samples) is not int or not 2 <= samples <= MOST_SAMPLES:
        raise Refusal("request", f'"samples" has to be a whole number from 2 to {MOST_SAMPLES}.')
    return samples


def _rows(payload: dict[str, Any], name: str, explained: Explained) -> Rows | None:
    if METHODS[name].whole:
        if payload.get("instances") not in (None, []):
            raise Refusal("request", f"{name} explains the model as a whole; send it no instances.")
        return None
    rows = parse_instances(payload, explained.raw, explained.spec.columns)
    history = explained.spec.needs_history and isinstance(rows, RawRows)
    if len(rows) != 1 and not history:
        raise Refusal("request", f"{name} explains one prediction; send exactly one instance.")
    return rows


def last_row_is_complete(features: Features) -> None:
    """Check the row that is explained: the last, after those that lead up to it.

    Raises:
        Refusal: it has no features.
    """
    if not features.complete[-1]:
        raise Refusal(
            "no_features",
            "The last row, which is explained, does not end a full window of cutting rows.",
            422,
        )
