"""Input and output of the report: reads what every step left, writes the page and the summary."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from components.report.captions import caption
from components.report.logic import Evidence, Plot, build_summary, render
from toolwear.common import jsonfile
from toolwear.common.steps import EVENTS_FOLDER

_WIDE = 1.15  # width by height from which a picture gets the whole width


@dataclass(frozen=True)
class Folders:
    """Where each step left what it found."""

    telemetry: Path
    validation: Path
    split: Path
    automl: Path
    evaluation: Path
    explanation: Path
    decision: Path
    registration: Path
    check: Path


def report(
    folders: Folders, outcome: str, lineage: dict[str, Any], page: Path, summary: Path
) -> None:
    """Write the page for a person and the machine-readable summary.

    Args:
        folders: what the steps left.
        outcome: what was done about the champion.
        lineage: `commit`, `graph_digest` and `seed`.
        page: HTML file to write; self-contained.
        summary: JSON file to write, shaped as `components.report.summary.Summary`.
    """
    evidence = Evidence(
        data=jsonfile.read(folders.telemetry / "manifest.json"),
        validation=jsonfile.read(folders.validation / "result.json"),
        audit=jsonfile.read(folders.split / "audit.json"),
        search=jsonfile.read(folders.automl / "search.json"),
        export=jsonfile.read(folders.automl / "export.json"),
        evaluation=jsonfile.read(folders.evaluation / "metrics.json"),
        explanations=jsonfile.read(folders.explanation / "explanations.json"),
        explained=jsonfile.read(folders.explanation / "manifest.json"),
        decision=jsonfile.read(folders.decision / "decision.json"),
        registration=jsonfile.read(folders.registration / "registration.json"),
        check=jsonfile.read(folders.check / "check.json"),
        outcome=outcome,
        lineage=lineage,
        timings=_timings(),
    )
    value = build_summary(evidence)
    jsonfile.write(summary, value.model_dump())
    plots = {
        name: _plots(getattr(folders, name)) for name in ("split", "evaluation", "explanation")
    }
    jsonfile.write_text(page, render(evidence, value, plots))


def _timings() -> dict[str, float]:
    folder = os.environ.get(EVENTS_FOLDER)
    if not folder:
        return {}
    events = [jsonfile.read(path) for path in Path(folder).glob("*.json")]
    ended = [event for event in events if event["state"] == "succeeded"]
    return {event["step"]: event["seconds"] for event in sorted(ended, key=lambda e: e["started"])}


def _plots(folder: Path) -> list[Plot]:
    return [_plot(path) for path in sorted(folder.rglob("*.png"))]


def _plot(path: Path) -> Plot:
    with Image.open(path) as picture:
        width, height = picture.size
    return Plot(
        caption=caption(path.stem),
        uri=f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}",
        width=width,
        height=height,
        wide=width > _WIDE * height,
    )
