"""What a package remembers of the data: rows for explainers, and which rows were trained on."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import numpy as np


def row_keys(sample_ids: Any) -> np.ndarray:
    """Return one 64-bit key for each sample id, to tell later what a model was trained on."""
    return np.array(
        [
            int.from_bytes(hashlib.blake2b(str(name).encode(), digest_size=8).digest())
            for name in sample_ids
        ],
        dtype=np.uint64,
    )


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
