"""What is told of a scored recording: by the command, by the service and by the graph."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema
from toolwear.model.abstention import ANSWERS, VERDICTS
from toolwear.model.judged import Judged
from toolwear.scoring.json_lines import as_csv, is_json_lines
from toolwear.scoring.logic import NO_WINDOW, RowSink, Scorer
from toolwear.scoring.reading import usable
from toolwear.scoring.sources import Source

Watch = Callable[[int], None]


def verdict(
    scorer: Scorer, source: Source, sink: RowSink | None = None, watch: Watch = lambda _rows: None
) -> dict[str, Any]:
    """Return what a model says of a recording, as plain values; see docs/scoring.md.

    Args:
        scorer: with the model.
        source: CSV, Parquet or JSON lines, packed or not.
        sink: as of `Scorer.score`.
        watch: told the number of rows that were read, again and again; ends it by an exception.

    Raises:
        ToolwearError: it can't be scored; the sentence says what to mend.
    """
    if not scorer.fits(source.dataset):
        raise ToolwearError(
            f"{source.name} is read by the contract '{source.dataset.dataset.name}', and the model "
            "knows a machine with other columns; score it with a model of its own machine."
        )
    settings = source.stated()
    with tempfile.TemporaryDirectory(prefix="toolwear-") as folder:
        scratch, rows = Path(folder), Path(folder) / "rows"
        rows.mkdir()
        path = source.path
        if is_json_lines(path):
            path = as_csv(path, scratch, watch)
        batches = _watched(usable(path, source.dataset, source.name), watch)
        result = scorer.score(batches, settings, rows, sink)
    return {
        "recording": source.name,
        "verdict": result.verdict,
        **{name: round(share, 6) for name, share in result.shares.items()},
        "judged_rows": result.judged,
        "rows": result.rows,
        **settings,
        "restored_order": result.restored,
        "not_sure_because": dict(result.reasons),
        "warnings": list(result.warnings),
    }


def answers(rows: pd.DataFrame, found: Judged, worn: np.ndarray) -> dict[str, Any]:
    """Return what a sink is told as columns: row, verdict, probability and reason, all (rows,).

    The probability of "worn" is NaN where a row ends no window; the reason is empty where the
    model is sure.
    """
    words = np.array([VERDICTS[answer] for answer in ANSWERS], dtype=object)
    said = [found.reasons.get(row, "") for row in range(len(worn))]
    return {
        schema.ROW: rows[schema.ROW].to_numpy(),
        "verdict": words[found.codes],
        "probability": worn,
        "reason": np.where(np.isnan(worn), NO_WINDOW, said),
    }


def _watched(batches: Iterator[pa.RecordBatch], watch: Watch) -> Iterator[pa.RecordBatch]:
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        watch(rows)
        yield batch
