"""Scores the recordings of a folder or a bucket by the champion."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.score.bucket import bring, is_bucket
from toolwear.common.errors import ToolwearError
from toolwear.common.steps import report
from toolwear.dataset import schema
from toolwear.model.abstention import VERDICTS
from toolwear.release.scored import ChampionScorer
from toolwear.scoring.known import known_contract
from toolwear.scoring.sources import settings_of, sources
from toolwear.workspace.home import Home

FILE = "verdicts.parquet"
SCHEMA = pa.schema(
    [
        ("recording", pa.string()),
        ("verdict", pa.string()),
        *((name, pa.float64()) for name in VERDICTS.values()),
        ("judged_rows", pa.int64()),
        ("rows", pa.int64()),
        *((name, pa.float64()) for name in schema.SETTING_COLUMNS),
        ("restored_order", pa.bool_()),
        ("not_sure_because", pa.map_(pa.string(), pa.int64())),
        ("warnings", pa.list_(pa.string())),
        *((name, pa.string()) for name in ("model", "version", "package", "use")),
        ("fault", pa.string()),
    ]
)


def score(data: str, settings: str, dataset: str, home: Home, output: Path) -> dict[str, int]:
    """Write `verdicts.parquet` and return how many recordings there are, and how many are faulty.

    Args:
        data: folder of recordings, or s3://bucket/prefix.
        settings: of all of them, such as `feedrate=6,clamp_pressure=4`; empty: as in their table.
        dataset: name or path of the contract that reads them; empty: the folder's own, else that
            of the last training.
        home: with the champion.
        output: folder to make. Columns are those of docs/scoring.md and `fault`, the sentence on
            what could not be scored; then the others are null.

    Raises:
        ToolwearError: there is no champion, nothing to score, or all of it is faulty.
    """
    given, known = settings_of(settings), known_contract(home)
    scorer = ChampionScorer(home, known)
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="toolwear-") as folder:
        brought, divided = Path(folder) / "brought", Path(folder) / "divided"
        brought.mkdir()
        divided.mkdir()
        if is_bucket(data):
            bring(data, brought)
        place = brought if is_bucket(data) else Path(data)
        for source in sources([str(place)], dataset, known, given, divided):
            name = Path(source.name).name
            try:
                record = scorer.score(source) | {"fault": None}
            except ToolwearError as error:
                record = {"fault": str(error)}
            found.append(record | {"recording": name})
            report(f"{name}: {record['fault'] or record['verdict']}")
    faults = [record["fault"] for record in found if record["fault"]]
    if len(faults) == len(found):
        raise ToolwearError(f"No recording of {data} could be scored: {faults[0]}")
    output.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(found, schema=SCHEMA), output / FILE)
    return {"recordings": len(found), "faulty": len(faults)}
