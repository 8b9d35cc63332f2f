"""The tables that a comparison ends with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tools.parity.compare import Row
from tools.parity.contents import Run
from toolwear.common import jsonfile

_DIGITS = 12
_REASONS = 4  # of an artifact, for a person
_SUMMARY = "report/summary"


def print_rows(
    rows: Sequence[Row], names: tuple[str, str], tolerance: float, console: Console
) -> None:
    """Print a line for each artifact: digests of both sides, verdict, and why."""
    table = Table(title=f"{names[0]} and {names[1]}, tolerance {tolerance:g}")
    for heading in ("task/artifact", "files", *names, "verdict", "largest", "why"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        more = len(row.reasons) - _REASONS
        reasons = [*row.reasons[:_REASONS], *([f"and {more} more"] if more > 0 else [])]
        table.add_row(
            row.name,
            str(row.files),
            *(digest[:_DIGITS] or "-" for digest in row.digests),
            Text(row.verdict.value, "" if row.passed else "red"),
            f"{row.largest:.1e}" if row.largest else "",
            "\n".join(reasons),
        )
    console.print(table)
    counted = Counter(row.verdict.value for row in rows)
    console.print(", ".join(f"{number} {verdict}" for verdict, number in counted.items()))


def figures_table(runs: Sequence[Run]) -> Table:
    """Return the accuracy and MCC of every model under every protocol, a column for each run."""
    table = Table(title="Figures: accuracy / MCC")
    for heading in ("protocol", "model", "n", *(run.name for run in runs)):
        table.add_column(heading)
    found = [
        jsonfile.read(path)["protocols"]
        for run in runs
        for path in run.artifacts().get(_SUMMARY, {}).values()
    ]
    for protocol, models in found[0].items() if found else ():
        for model, figures in models.items():
            sides = [side.get(protocol, {}).get(model) for side in found]
            table.add_row(
                protocol,
                model,
                f"{figures['n']} {figures['unit']}",
                *(_figures(side) for side in sides),
            )
    return table


def _figures(side: dict[str, float | None] | None) -> str:
    if side is None:
        return "missing"
    return " / ".join(
        "none" if value is None else f"{value:.6f}" for value in (side["accuracy"], side["mcc"])
    )
