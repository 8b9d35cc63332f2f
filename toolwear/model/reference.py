"""What a package remembers of the data: rows for explainers, and which rows were trained on."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import numpy as np

BACKGROUND_ROWS = 200  # for explanations; more cost time in proportion


def row_keys(sample_ids: Any) -> np.ndarray:
    """Return one 64-bit key for each sample id, to tell later what a model was trained on."""
    return np.array(
        [
            int.from_bytes(hashlib.blake2b(str(name).encode(), digest_size=8).digest())
            for name in sample_ids
        ],
        dtype=np.uint64,
    )


def background_places(run: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return the places of `count` rows that explanations start from, rising.

    Each run has its share of them, and one at least; with more runs than rows, `count` runs have
    one. Drawn over all rows, short runs would be left out.

    Args:
        run: the run of each row (n,).
        count: rows wanted; all n if there are fewer.
        seed: of the draw.
    """
    draw = np.random.default_rng(seed)
    if count >= len(run):
        return np.arange(len(run))
    names, sizes = np.unique(run, return_counts=True)
    if len(names) > count:
        kept = draw.choice(len(names), count, replace=False)
        names, sizes = names[kept], np.ones(count, dtype=np.int64)
    shares = sizes * (count / sizes.sum())
    taken = np.maximum(1, np.floor(shares)).astype(np.int64)
    while (left := count - int(taken.sum())) != 0:
        # Those with the largest remainders get one more, those farthest above their share one less.
        gaps = np.where(taken < sizes, shares - taken, -np.inf) if left > 0 else taken - shares
        gaps = gaps if left > 0 else np.where(taken > 1, gaps, -np.inf)
        taken[int(np.argmax(gaps))] += 1 if left > 0 else -1
    chosen = [
        draw.choice(np.flatnonzero(run == name), size, replace=False)
        for name, size in zip(names, taken.tolist(), strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def reference_bytes(X: np.ndarray, y: np.ndarray, trained_on: np.ndarray) -> bytes:
    """Return the reference file for background rows, labels and the keys of the training rows."""
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        X=np.asarray(X, dtype=np.float64),
        y=np.asarray(y, dtype=np.int64),
        trained_on=np.sort(np.asarray(trained_on, dtype=np.uint64)),
    )
    return stream.getvalue()
