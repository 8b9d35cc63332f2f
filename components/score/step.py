"""Scores the recordings of a folder or a bucket by the champion."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.score.bucket import bring, send
from components.score.progress import Note, noted
from toolwear.common.disk import mendable, whole
from toolwear.common.errors import ToolwearError
from toolwear.common.s3 import is_bucket
from toolwear.common.steps import report
from toolwear.dataset.contract import DataSet
from toolwear.model.abstention import VERDICTS
from toolwear.release.scored import ChampionScorer
from toolwear.run.scoring import VERDICTS_FILE, kept
from toolwear.scoring.known import known_contract
from toolwear.scoring.sources import settings_of, sources
from toolwear.workspace.home import Home


def schema_of(dataset: DataSet) -> pa.Schema:
    """Return the columns of the verdicts."""
    return pa.schema(
        [
            ("recording", pa.string()),
            ("verdict", pa.string()),
            *((name, pa.float64()) for name in VERDICTS.values()),
            ("judged_rows", pa.int64()),
            ("rows", pa.int64()),
            *((name, pa.float64()) for name in dataset.settings),
            ("restored_order", pa.bool_()),
            ("not_sure_because", pa.map_(pa.string(), pa.int64())),
            ("warnings", pa.list_(pa.string())),
            *((name, pa.string()) for name in ("model", "version", "package", "use")),
            ("fault", pa.string()),
        ]
    )


def score(
    data: str, settings: str, dataset: str, target: str, job: str, home: Home, output: Path
) -> dict[str, int]:
    """Write `verdicts.parquet` and return how many recordings there are, and how many are faulty.

    Args:
        data: folder of recordings, or s3://bucket/prefix.
        settings: of all of them, such as `feedrate=6,clamp_pressure=4`; empty: as in their table.
        dataset: name or path of the contract that reads them; empty: the folder's own, else that
            of the last training.
        target: folder or s3://bucket/prefix that gets the same file, in place of one that is there;
            empty for none.
        job: name by which the home keeps the same file, and meanwhile how far the work is, as in
            `toolwear.run.scoring`; empty for neither.
        home: with the champion.
        output: folder to make. Columns are those of docs/scoring.md and `fault`, the sentence on
            what could not be scored; then the others are null.

    Raises:
        ToolwearError: there is no champion, nothing to score, all of it is faulty, or the target
            or the home can't be written to.
    """
    _check_apart(data, target)
    if target and not is_bucket(target):
        with mendable(Path(target)):  # before hours of work, not after them
            Path(target).mkdir(parents=True, exist_ok=True)
    known, own = known_contract(home), str(kept(home, job)) if job else ""
    with noted(Path(own) if own else None) as note:
        found = _scored(data, dataset, settings_of(settings, known), known, home, note)
        faults = [record["fault"] for record in found if record["fault"]]
        if len(faults) == len(found):
            raise ToolwearError(f"No recording of {data} could be scored: {faults[0]}")
        output.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(found, schema=schema_of(known)), output / VERDICTS_FILE)
        if own:
            _hand_on(output / VERDICTS_FILE, own)
        if target:
            _tell(f"writing {target}", note)
            _hand_on(output / VERDICTS_FILE, target)
    return {"recordings": len(found), "faulty": len(faults)}


def _scored(
    data: str,
    dataset: str,
    settings: Mapping[str, float] | None,
    known: DataSet,
    home: Home,
    note: Note,
) -> list[dict[str, Any]]:
    """Return a record for each recording; see `score`."""
    scorer, found, rows = ChampionScorer(home), [], 0
    with tempfile.TemporaryDirectory(prefix="toolwear-") as folder:
        brought, divided = Path(folder) / "brought", Path(folder) / "divided"
        brought.mkdir()
        divided.mkdir()
        if is_bucket(data):
            bring(data, brought, lambda name: _tell(f"{data}: {name}", note))
        place = brought if is_bucket(data) else Path(data)
        try:
            every = list(sources([str(place)], dataset, known, settings, divided))
        except ToolwearError as error:
            raise ToolwearError(_of(data, error, place)) from None
        note(done=0, of=len(every))
        for number, source in enumerate(every, 1):
            name, before = Path(source.name).name, rows

            def watch(read: int, before: int = before) -> None:
                nonlocal rows
                rows = before + read
                note(rows=rows)

            try:
                record = scorer.score(source, watch=watch) | {"fault": None}
            except ToolwearError as error:
                record = {"fault": _of(data, error, place)}
            found.append(record | {"recording": name})
            said = record["fault"] or f"{name}: {record['verdict']}"
            report(f"{number} of {len(every)}: {said}")
            note(done=number, last=said)
    return found


def _of(data: str, error: ToolwearError, place: Path) -> str:
    """Return a sentence on recordings where they are, not where they were brought to."""
    return str(error).replace(str(place), data.rstrip("/"))


def _tell(text: str, note: Note) -> None:
    report(text)
    note(last=text)


def _check_apart(data: str, target: str) -> None:
    places = [
        one.rstrip("/") if is_bucket(one) else str(Path(one).resolve()) for one in (data, target)
    ]
    if target and places[0] == places[1]:
        raise ToolwearError(
            f"The verdicts can't go to {target}, where the recordings are, as they would be taken "
            "for one of them; name another folder or prefix."
        )


def _hand_on(file: Path, place: str) -> None:
    if is_bucket(place):
        send(file, place)
        return
    with mendable(Path(place)):
        Path(place).mkdir(parents=True, exist_ok=True)
        with whole(Path(place) / VERDICTS_FILE) as partial:
            shutil.copyfile(file, partial)
