"""The page a person opens: the verdict first, then every expectation; nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from components.validate import plots
from components.validate.logic import SEVERITIES
from components.validate.summaries import ROWS_FOUND
from toolwear.common import jsonfile
from toolwear.common.thresholds import thresholds
from toolwear.dataset.contract import DataSet

_TEMPLATE = "report.html.j2"


def write_page(path: Path, result: dict[str, Any], runs: pd.DataFrame, dataset: DataSet) -> None:
    """Write the page.

    Args:
        path: HTML file to write.
        result: The machine-readable result, see `logic.Ledger.result`.
        runs: One row a run; drawn if it holds what was found of each, see `judge_runs`.
        dataset: The data set's contract.
    """
    pictures = []
    if ROWS_FOUND in runs and len(runs):
        if dataset.faults:
            pictures.append(plots.fault_rates(runs, dataset))
        if dataset.phases.levels is not None:
            agreement = thresholds().validation.layer_agreement
            pictures.append(plots.layer_agreement(runs, agreement))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template(_TEMPLATE).render(
        result=result,
        severities=SEVERITIES,
        failing={
            severity: [
                entry
                for entry in result["expectations"]
                if not entry["success"] and entry["severity"] == severity
            ]
            for severity in SEVERITIES
        },
        passing=[entry for entry in result["expectations"] if entry["success"]],
        pictures=pictures,
    )
    jsonfile.write_text(path, html)
