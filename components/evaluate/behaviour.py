"""Checks of what a model does, beside how often it is right (after Ribeiro et al. 2020).

Invariance: what carries no information on wear must not change the answer. Faults: a sensor that
sticks or drops out must cost little, or be noticed by the envelope.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolwear.dataset.contract import DataSet
from toolwear.model.abstention import Abstention
from toolwear.model.onnx_model import OnnxModel

_SINGLE_ROWS = 100
_ARITHMETIC = (1e-12, 1e-9, 1e-6)  # relative: what float64 or float32 arithmetic leaves behind
_SENSOR = 1e-3  # relative
_DIGITS = 3  # significant ones, in which the recordings are stored
_SAME_ANSWER, _CHANGED, _ROUNDING, _FALL, _NOTICED = 1e-12, 0.001, 0.001, 0.02, 0.99
_MOVED = 0.05  # share of answers that a mark of the setup may move


@dataclass(frozen=True)
class Subject:
    """A model and the test rows that it is asked about.

    Attributes:
        model: the graph.
        X: test rows, float64 (n, features).
        y: their labels (n,).
        columns: names of the features.
        training: training rows (m, features).
        rule: when the service is not sure.
        dataset: the data set's contract.
    """

    model: OnnxModel
    X: np.ndarray
    y: np.ndarray
    columns: Sequence[str]
    training: np.ndarray
    rule: Abstention
    dataset: DataSet

    @property
    def not_measured(self) -> set[str]:
        """Columns that a sensor's noise does not reach: what people and the program set."""
        settings, order = self.dataset.settings, self.dataset.order
        lines = {order.line} if order else set()
        return {*settings, *(one.read_by for one in settings.values()), *lines}

    def accuracy(self, rows: np.ndarray) -> float:
        """Return the accuracy when these rows are asked in place of the test rows."""
        return float((self.model.labels(rows) == self.y).mean())


def checks(
    subject: Subject, session: Sequence[str], found: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return one entry a check: `name`, `about`, `value`, `limit`, `passed`, `n`, `sentence`.

    `about` is "numbers" where a failure would be the graph's fault, and "data" where it says what
    the model has learnt from these recordings, which another graph of it would do as well.

    Args:
        subject: the model.
        session: columns that the audit found to tell when a run was recorded.
        found: what `noise` has returned.
    """
    numbers = [_alone(subject), *_numbers(found)]
    data = [*_other_tool(subject), *_other_session(subject, session), *_faults(subject)]
    return [
        *({**entry, "about": "numbers"} for entry in numbers),
        *({**entry, "about": "data"} for entry in data),
    ]


def _entry(name: str, value: float, limit: float, n: int, sentence: str) -> dict[str, Any]:
    passed = bool(value <= limit)
    return {
        "name": name,
        "value": value,
        "limit": limit,
        "passed": passed,
        "n": n,
        "sentence": sentence,
    }


def _alone(subject: Subject) -> dict[str, Any]:
    rows = subject.X[:_SINGLE_ROWS]
    together = subject.model.worn(subject.X)
    single = np.array([subject.model.worn(row[None])[0] for row in rows])
    reverse = subject.model.worn(subject.X[::-1])[::-1]
    difference = float(
        max(np.abs(single - together[: len(rows)]).max(), np.abs(reverse - together).max())
    )
    return _entry(
        "a row's answer does not depend on its neighbours",
        difference,
        _SAME_ANSWER,
        len(subject.X),
        f"Asked alone, together or in reverse order, probabilities differ by {difference:.1e}.",
    )


def noise(subject: Subject, seed: int) -> dict[str, Any]:
    """Return what noise without any information does to the answers.

    Args:
        subject: the model.
        seed: of the noise.

    Returns:
        `rows`; `changed`, the share of labels that change by the kind of noise, its largest,
        `changed_labels`, and the largest of what arithmetic alone does, `numerical`;
        `last_digit_points`, by how many points half of the last recorded digit lowers the
        accuracy.
    """
    generator = np.random.default_rng(seed)
    changed = {
        f"relative {size:g}": _changed(
            subject, subject.X * (1 + size * generator.uniform(-1, 1, subject.X.shape))
        )
        for size in (*_ARITHMETIC, _SENSOR)
    }
    changed["float32"] = _changed(subject, subject.X.astype(np.float32).astype(np.float64))
    numerical = max(share for kind, share in changed.items() if kind != f"relative {_SENSOR:g}")
    size = np.abs(subject.X)
    step = np.where(
        size > 0, 10.0 ** (np.floor(np.log10(np.where(size > 0, size, 1))) - _DIGITS + 1), 0
    )
    step[:, [name in subject.not_measured for name in subject.columns]] = 0
    moved = subject.X + step * generator.uniform(-0.5, 0.5, subject.X.shape)
    fall = subject.accuracy(subject.X) - subject.accuracy(moved)
    return {
        "rows": len(subject.X),
        "changed": changed,
        "changed_labels": max(changed.values()),
        "numerical": numerical,
        "last_digit_points": 100 * fall,
    }


def _numbers(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Return the checks of `noise`."""
    yield _entry(
        "numerical noise does not change the label",
        found["changed_labels"],
        _CHANGED,
        found["rows"],
        f"Relative noise of {_ARITHMETIC[0]:g} to {_SENSOR:g}, or rounding the input to float32, "
        f"changes at most {found['changed_labels']:.2%} of the labels.",
    )
    yield _entry(
        "rounding of the recording costs little",
        found["last_digit_points"] / 100,
        _ROUNDING,
        found["rows"],
        f"Noise within the last of {_DIGITS} recorded digits costs "
        f"{found['last_digit_points']:.2f} points.",
    )


def _other_tool(subject: Subject) -> Iterator[dict[str, Any]]:
    levels = subject.dataset.phases.levels
    if levels is None or not levels.tool_difference or levels.column not in subject.columns:
        return
    column, apart = levels.column, levels.tool_difference
    unit = subject.dataset.signals[column].unit
    moved = subject.X.copy()
    moved[:, list(subject.columns).index(column)] += np.where(subject.y == 1, -apart, apart)
    changed = _changed(subject, moved)
    yield _entry(
        f"the other tool's depth ({column}) does not change the label",
        changed,
        _MOVED,
        len(subject.X),
        f"Moving the depth by the {apart:g} {unit} between the two tools, all else equal, changes "
        f"{changed:.1%} of the labels: so much rests on which tool was mounted.",
    )


def _other_session(subject: Subject, session: Sequence[str]) -> Iterator[dict[str, Any]]:
    places = [number for number, name in enumerate(subject.columns) if name in set(session)]
    if not places:
        return
    moved = subject.X.copy()
    moved[:, places] -= subject.training[:, places].std(axis=0)
    changed = _changed(subject, moved)
    names = ", ".join(subject.columns[place] for place in places)
    yield _entry(
        "another session's level does not change the label",
        changed,
        _MOVED,
        len(subject.X),
        f"Lowering {names} by one standard deviation of their rows changes {changed:.1%} of the "
        "labels: so much rests on when a run was recorded.",
    )


def _faults(subject: Subject) -> Iterator[dict[str, Any]]:
    median = np.median(subject.training, axis=0)
    whole = subject.accuracy(subject.X)
    for place, name in enumerate(subject.columns):
        for fault, value in (("stuck at its median", median[place]), ("dropped to 0", 0.0)):
            rows = subject.X.copy()
            rows[:, place] = value
            fall = whole - subject.accuracy(rows)
            noticed = float(subject.rule.outside(rows).any(axis=1).mean())
            sentence = (
                f"{name} {fault}: accuracy falls by {100 * fall:.1f} points; the envelope refuses "
                f"{noticed:.0%} of the rows."
            )
            entry = _entry(f"{name} {fault}", fall, _FALL, len(rows), sentence)
            yield {
                **entry,
                "passed": entry["passed"] or noticed >= _NOTICED,
                "column": name,
                "fault": fault,
                "noticed": noticed,
            }


def _changed(subject: Subject, rows: np.ndarray) -> float:
    return float((subject.model.labels(rows) != subject.model.labels(subject.X)).mean())


def summary(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the checks with how many passed."""
    return {
        "passed": sum(bool(item["passed"]) for item in found),
        "of": len(found),
        "checks": list(found),
    }
