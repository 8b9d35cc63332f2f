"""Shows all that went into an answer."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from serving.payload import log
from serving.payload.records import NAMES, WORN
from toolwear.cli.plain import print_json
from toolwear.common.errors import ToolwearError

_HEAD = (
    "request_id",
    "recording",
    "machine",
    "answered_at",
    "model",
    "model_version",
    "package_digest",
    "model_sha256",
    "data_digest",
    "commit",
    "kind",
    "latency_ms",
    "status",
)
_ROW = (
    "run_id",
    "feature_timestamp",
    "stale",
    "is_cutting",
    "regime",
    "probability",
    "label",
    "verdict",
    "reasons",
)
_LABEL = (WORN, "labelled_at", "source", "labelled_by")
_OTHER = {"receipt_id", "row_number", *_HEAD, *_ROW, *_LABEL}


def show(home: Path, receipt_id: str, console: Console, *, as_json: bool = False) -> None:
    """Print an answer: the model, and for each row the features, the verdict and the label.

    Args:
        home: the system's folder.
        receipt_id: of a receipt, or the x-request-id that requests carried; if there were
            several, their receipts are listed.
        console: to print to.
        as_json: print JSON instead, a record for each row.

    Raises:
        ToolwearError: the payload log does not have it.
    """
    home = home.resolve()
    found = log.find(home, receipt_id)
    if found.empty:
        answers = log.of_request(home, receipt_id)
        if len(answers) > 1 and as_json:
            print_json({"answers": answers.to_dict("records")})
            return
        if len(answers) > 1:
            _list(receipt_id, answers, console)
            return
        if len(answers):
            receipt_id = answers["receipt_id"].iloc[0]
            found = log.find(home, receipt_id)
    if found.empty:
        raise ToolwearError(
            f"The payload log in {home} has no receipt {receipt_id}; it may be older than what "
            "the log keeps, or from another home."
        )
    if as_json:
        rows = [
            {name: None if pd.isna(value) else value for name, value in row.items()}
            for row in found.to_dict("records")
        ]
        print_json({"receipt": receipt_id, "rows": rows})
        return
    console.print(f"receipt {receipt_id}: {len(found)} rows")
    for name in (name for name in _HEAD if name in found):  # earlier files name no machine
        console.print(f"  {name:<15} {found[name].iloc[0]}", soft_wrap=True)
    features = [name for name in found.columns if name not in _OTHER and name not in NAMES]
    table = Table("", *(f"row {number}" for number in found["row_number"]))
    for name in (*_ROW, *_LABEL, *features):
        if not found[name].isna().all():
            table.add_row(name, *(_text(value) for value in found[name]))
    console.print(table)


def _list(request_id: str, answers: pd.DataFrame, console: Console) -> None:
    console.print(
        f"{len(answers)} answers to requests with the x-request-id {request_id}:",
    )
    for answer in answers.to_dict("records"):
        recording = f", recording {answer['recording']}" if answer["recording"] else ""
        console.print(
            f"  {answer['receipt_id']}  {answer['answered_at']:%Y-%m-%d %H:%M:%S} UTC, "
            f"{answer['rows']} rows{recording}",
            soft_wrap=True,
        )


def _text(value: object) -> str:
    if value is None or value is pd.NaT or value is pd.NA or value != value:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
