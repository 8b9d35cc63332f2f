"""Answers as DataFrames: the one module of the client that needs pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from toolwear.client.answers import Answer


def frame(answer: Answer, index: Sequence[Any] | pd.Index | None) -> pd.DataFrame:
    """Return the predictions of an answer; see `Answer.frame`."""
    labels: Any = range(len(answer.predictions)) if index is None else index
    receipts = {place: part.receipt for part in answer.parts for place in part.rows}
    predictions = answer.predictions
    of_rows = [receipts.get(place) for place in range(len(predictions))]
    return pd.DataFrame(
        {
            "verdict": [one.verdict for one in predictions],
            "label": pd.Series([one.label for one in predictions], dtype=object),
            "probability": pd.Series([one.probability for one in predictions], dtype="float64"),
            "reasons": [" ".join(one.reasons) for one in predictions],
            "version": pd.Series([one and one.version for one in of_rows], dtype=object),
            "receipt": pd.Series([one and one.id for one in of_rows], dtype=object),
        }
    ).set_axis(labels)
