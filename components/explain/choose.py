"""Which predictions are explained one by one: wrong ones, uncertain ones, and typical ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolwear.explain.methods.subject import is_worn

WRONG, UNCERTAIN, TYPICAL = "wrong", "uncertain", "typical"
KINDS = {
    WRONG: "label missed, the surest first, one a run where possible",
    UNCERTAIN: "label found, closest to one half first, one a run where possible",
    TYPICAL: "drawn at random from the rest, classes and runs in turn",
}


@dataclass(frozen=True)
class Chosen:
    """A row (its position) and why it was chosen."""

    position: int
    kind: str


def choose(y: np.ndarray, worn: np.ndarray, run: np.ndarray, count: int, seed: int) -> list[Chosen]:
    """Return up to `count` rows to explain, in the order of KINDS.

    At most a quarter are wrong and a quarter uncertain; the rest is typical. Where too few are
    wrong, typical rows take their place.

    Args:
        y: labels, int (n,).
        worn: P(worn), float64 (n,).
        run: run of each row, str (n,).
        count: rows wanted.
        seed: of the draw among typical rows.
    """
    wrong = is_worn(worn) != y
    sureness = np.abs(worn - 0.5)
    quarter = count // 4
    chosen = [Chosen(i, WRONG) for i in _one_a_run(_by(-sureness, wrong), run, quarter)]
    chosen += [Chosen(i, UNCERTAIN) for i in _one_a_run(_by(sureness, ~wrong), run, quarter)]
    taken = np.zeros(len(y), bool)
    taken[[c.position for c in chosen]] = True
    rest = np.flatnonzero(~wrong & ~taken)
    shuffled = np.random.default_rng(seed).permutation(rest)
    turns = _classes_in_turn(shuffled, y, run)
    return chosen + [Chosen(int(i), TYPICAL) for i in turns[: count - len(chosen)]]


def _by(key: np.ndarray, among: np.ndarray) -> np.ndarray:
    order = np.argsort(key, kind="stable")
    return order[among[order]]


def _one_a_run(order: np.ndarray, run: np.ndarray, count: int) -> list[int]:
    """Return the first `count` of `order`: the first of every run before a second of any."""
    return [int(i) for i in _in_turn(order, run)[:count]]


def _in_turn(order: np.ndarray, group: np.ndarray) -> list[int]:
    """Return `order` so that every group's first comes before any group's second, and so on."""
    seen: dict[str, int] = {}
    ranks = []
    for i in order:
        ranks.append(seen.get(str(group[i]), 0))
        seen[str(group[i])] = ranks[-1] + 1
    return [int(order[k]) for k in np.argsort(ranks, kind="stable")]


def _classes_in_turn(order: np.ndarray, y: np.ndarray, run: np.ndarray) -> list[int]:
    return _in_turn(np.array(_in_turn(order, run), dtype=np.int64), y)
