"""The validate step: streams the telemetry through the suites and writes what they found."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from components.validate.logic import CRITICAL, Ledger
from components.validate.page import write_page
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.steps import report
from toolwear.common.thresholds import thresholds
from toolwear.dataset import contract

BATCH_ROWS = 250_000  # held in memory at a time: about 1 GiB with what Great Expectations adds

RESULT, REPORT, FAILING_ROWS, DATA_DOCS = (
    "result.json",
    "report.html",
    "failing_rows.csv",
    "data_docs",
)


def validate(telemetry: Path, output: Path, batch_rows: int = BATCH_ROWS) -> int:
    """Check an ingested data set and return the number of warnings.

    Args:
        telemetry: Folder written by ingest.
        output: Folder to make: result.json, report.html, data_docs/ and, if the data is refused,
            failing_rows.csv.
        batch_rows: Rows held in memory at a time; the result does not depend on it.

    Raises:
        ToolwearError: A critical expectation failed; everything has been written before.
    """
    report("loading Great Expectations")
    # Seconds to import, and of no use to whoever only wants this module's names.
    from components.validate.checks import check

    manifest = _read_manifest(telemetry)
    output.mkdir(parents=True, exist_ok=True)
    ledger, runs = check(telemetry, thresholds().validation, batch_rows, output / DATA_DOCS)
    result = ledger.result(
        {
            "digest": manifest["digest"],
            "source": manifest["source"]["kind"],
            "rows": manifest["rows"],
            "runs": manifest["runs"],
        }
    )
    jsonfile.write(output / RESULT, result)
    write_page(output / REPORT, result, runs, contract.of(telemetry))
    failures = ledger.failures(CRITICAL)
    if failures:
        _write_failing_rows(output / FAILING_ROWS, ledger)
        raise ToolwearError(_refusal(failures[0].sentence, len(failures) - 1, output))
    return int(result["warnings"])


def _read_manifest(telemetry: Path) -> dict[str, Any]:
    path = telemetry / "manifest.json"
    if not path.is_file():
        raise ToolwearError(
            f"{telemetry} holds no manifest.json: give the folder that ingest wrote"
        )
    return dict(jsonfile.read(path))


def _write_failing_rows(path: Path, ledger: Ledger) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ["run_id", "row", "column", "value", "reason"])
        writer.writeheader()
        writer.writerows(ledger.failing_rows())


def _refusal(worst: str, others: int, output: Path) -> str:
    more = f" (and {others} more)" if others else ""
    return f"the data is refused: {worst.rstrip('.')}{more}; see {output / FAILING_ROWS}"
