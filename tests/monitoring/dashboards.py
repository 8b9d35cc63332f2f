"""The dashboards as Grafana reads them, and their queries as Grafana asks them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from tools.dashboards.boards import EVERYTHING
from tools.dashboards.every import FOLDER

# What Grafana fills in: the rate interval is four times its data source's scrape interval.
BUILT_IN = {"__rate_interval": "1m", "__range": "15m"}
_VARIABLE = re.compile(r"\$(\w+)")
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')
_NAMES = re.compile(r"\b(?:toolwear|process)_\w+|\btoolwear:[\w:]+")


@dataclass(frozen=True)
class Asked:
    """One query of a panel.

    Attributes:
        board: name of its dashboard.
        panel: title.
        expression: as it is in the JSON.
        instant: whether only the newest value is wanted.
    """

    board: str
    panel: str
    expression: str
    instant: bool

    def filled(self) -> str:
        """Return the expression as Grafana sends it while "All" is chosen everywhere."""
        return _VARIABLE.sub(lambda found: BUILT_IN.get(found[1], EVERYTHING), self.expression)

    def variables(self) -> set[str]:
        """Return the names of the variables in it."""
        return set(_VARIABLE.findall(self.expression))

    def metrics(self) -> set[str]:
        """Return the names of metrics and of recorded series in it."""
        return metrics_in(self.expression)


def metrics_in(expression: str) -> set[str]:
    """Return the names of metrics and of recorded series in PromQL."""
    return set(_NAMES.findall(_STRINGS.sub('""', expression)))


def boards() -> dict[str, dict[str, Any]]:
    """Return the committed dashboards by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels of a dashboard without its headings."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries() -> list[Asked]:
    """Return every query of every panel."""
    return [
        Asked(name, panel["title"], target["expr"], bool(target.get("instant")))
        for name, board in boards().items()
        for panel in panels(board)
        for target in panel.get("targets", [])
    ]
