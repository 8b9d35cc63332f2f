"""All dashboards, and where their JSON is kept."""

from __future__ import annotations

from tools.dashboards import data, model, pipelines, runbooks, service
from tools.dashboards.boards import Board
from tools.rendered import ROOT

FOLDER = ROOT / "monitoring" / "grafana" / "dashboards"


def boards() -> list[Board]:
    """Return them in the order in which Grafana lists them."""
    return [
        service.board(),
        model.board(),
        data.board(),
        pipelines.board(),
        Board(
            name="runbooks",
            title="toolwear 5: runbooks",
            about="What to do about each alert; the panels of the others lead here.",
            rows={"": runbooks.panels()},
        ),
    ]
