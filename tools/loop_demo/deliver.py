"""The folder of recordings that runs train on: what the mill has recorded, and who labelled it."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from components.guard.observe import row_keys
from datasets.cnc_mill import names as mill
from tools.loop_demo.plans import Delivery
from tools.replay.recordings import Recording
from tools.replay.scenarios import Scenario
from toolwear.dataset import contract, schema


def begin(data: Path, folder: Path, runs: Collection[str]) -> None:
    """Fill a new folder with recordings.

    Args:
        data: folder of all recordings.
        folder: to make.
        runs: ids; empty for all.
    """
    folder.mkdir(parents=True)
    # What is delivered is in time order, in which the recorded phases jump.
    (folder / contract.FILE).write_text("[recordings]\nphases_in_order = false\n")
    table = _table(data)
    chosen = [row for row in table if not runs or _id(row) in runs]
    for row in chosen:
        shutil.copyfile(data / _file(row), folder / _file(row))
    _write(folder, chosen)


def deliver(
    data: Path, folder: Path, kind: Delivery, scenario: Scenario, runs: Sequence[Recording]
) -> list[str]:
    """Add what a scenario brings; return the ids of runs that are new.

    Recordings that are there already come once more, as the scenario makes them, under new
    numbers; the others as they were recorded.

    Args:
        data: folder of all recordings.
        folder: made by `begin`.
        kind: what is delivered.
        scenario: what goes wrong.
        runs: that are served with it, as they were recorded.
    """
    table, whole = _table(folder), {_id(row): row for row in _table(data)}
    known = {_id(row) for row in table}
    new = []
    if kind == Delivery.FLIPPED_LABELS:
        shifted = {recording.run_id: recording for recording in runs}
        for row in table:
            if _id(row) in shifted:
                row[schema.CONDITION] = schema.CLASSES[scenario.label(shifted[_id(row)])]
    elif kind == Delivery.RECORDINGS:
        number = max(int(row[mill.RUN_NUMBER]) for row in table)
        for recording in runs:
            row = dict(whole[recording.run_id])
            if recording.run_id not in known:
                shutil.copyfile(data / _file(row), folder / _file(row))
            else:
                number += 1
                row[mill.RUN_NUMBER] = str(number)
                _record(recording, scenario.change(recording), row, folder)
            table.append(row)
            new.append(_id(row))
    _write(folder, table)
    return new


def _record(known: Recording, changed: Recording, row: dict[str, str], folder: Path) -> None:
    """Write the rows in which a recording is another one; what was there before would be a copy.

    To as many digits as a machine records: 118.8 mm at home is 119 mm, as it was.
    """
    columns = list(mill.RAW_COLUMNS)
    was, now = (row_keys(one.rows[list(mill.NUMERIC_COLUMNS)]) for one in (known, changed))
    differs = was != now
    changed.rows.loc[differs, columns].to_csv(folder / _file(row), index=False)
    row[mill.FEEDRATE] = f"{changed.feedrate:g}"
    if not differs.all():  # it is no whole run any more
        row[schema.FINALIZED], row[schema.INSPECTION] = "no", ""


def _table(folder: Path) -> list[dict[str, str]]:
    with (folder / mill.RUN_TABLE_FILE).open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def _write(folder: Path, table: Sequence[dict[str, str]]) -> None:
    partial = folder / f".{mill.RUN_TABLE_FILE}"
    with partial.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, mill.RUN_TABLE_COLUMNS)
        writer.writeheader()
        writer.writerows(table)
    partial.replace(folder / mill.RUN_TABLE_FILE)


def _id(row: dict[str, str]) -> str:
    return schema.run_id(int(row[mill.RUN_NUMBER]))


def _file(row: dict[str, str]) -> str:
    return mill.RUN_FILE_PATTERN.format(number=int(row[mill.RUN_NUMBER]))
