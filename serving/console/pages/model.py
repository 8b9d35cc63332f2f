"""Model: figures beside the published ones, curves, slices, the search, the card."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from serving.console import curves, evidence, pictures, svg
from serving.console.pages.base import Console
from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema
from toolwear.evaluation.headline import headline
from toolwear.evaluation.names import model_name
from toolwear.model.package import CARD_FILE
from toolwear.release import champion as pointer

_COMPARED = (schema.AUTO_SKLEARN, schema.RANDOM_FOREST, schema.DECISION_TREE)
_STYLES = dict(zip(_COMPARED, ("c0", "c1", "c2"), strict=True))
_FIGURES = ("accuracy", "precision", "recall", "f1", "mcc")


class ModelPages:
    """The routes of Model."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def model(self, _request: Request) -> Response:
        """Show the page; the curves follow."""
        home = self._console.home
        run = evidence.of_champion(home)
        summary = run.summary if run else None
        if run is None or summary is None:
            return self._console.page("model.html.j2", run=None)
        first = headline(summary)
        known = summary["protocols"][schema.KNOWN_RUNS]
        evaluation = curves.evaluation(home, run)
        return self._console.page(
            "model.html.j2",
            run=run,
            summary=summary,
            first=first,
            questions=pictures.questions(first.figures),
            figures=_FIGURES,
            rows=[(model_name(name), known[name]) for name in _COMPARED if name in known],
            protocols=_protocols(summary["protocols"]),
            left_out=summary["left_out"],
            per_run=_per_run(evaluation) if evaluation else [],
            slices=evaluation["slices"].get(schema.AUTO_SKLEARN, {}) if evaluation else {},
            settings_told=evaluation.get("settings_told", "") if evaluation else "",
            search=curves.search(home, run),
            card=self._card(),
        )

    def curves(self, _request: Request) -> Response:
        """Show confusion matrices, ROC, precision-recall, calibration and coverage."""
        home = self._console.home
        run = evidence.of_champion(home)
        evaluation = curves.evaluation(home, run) if run else None
        predictions = curves.predictions(home, run) if run else None
        if run is None or evaluation is None or predictions is None:
            return self._console.page(
                "fault.html.j2", sentence="The evaluation of this run is not here any more."
            )
        plots = self._console.kept.get(
            ("curves", run.name), lambda: _curves(predictions, evaluation)
        )
        return self._console.page("curves.html.j2", **plots)

    def _card(self) -> str:
        try:
            _, package = pointer.read_package(self._console.home.root)
        except ToolwearError as error:
            return str(error)
        return package.contents[CARD_FILE].decode()


def _protocols(protocols: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the figures of every model that judges runs or settings that it has not seen."""
    return [
        {"protocol": protocol, "model": model_name(name), **protocols[protocol][name]}
        for protocol in (schema.NEW_RUN, schema.NEW_SETTING)
        for name in schema.MODELS
        if name in protocols[protocol]
    ]


def _per_run(evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    """Return for each run how its rows are recalled and how it is judged when left out."""
    known = {
        item["slice"]: item for item in evaluation["slices"].get(schema.AUTO_SKLEARN, {})["run"]
    }
    unseen = {
        item["run_id"]: item
        for item in evaluation["protocols"][schema.NEW_RUN]
        .get(schema.RANDOM_FOREST, {})
        .get("per_run", [])
    }
    return [
        {"run": name, "known": known.get(name), "unseen": unseen.get(name)}
        for name in sorted({*known, *unseen})
    ]


def _curves(predictions: pd.DataFrame, evaluation: dict[str, Any]) -> dict[str, Any]:
    held = {
        name: part for name, part in predictions.groupby("model", sort=False) if name in _COMPARED
    }
    ordered = {name: held[name] for name in _COMPARED if name in held}
    calibration = evaluation["calibration"][schema.KNOWN_RUNS]
    drawn = [
        curves.Held(
            model_name(name),
            _STYLES[name],
            part["y"].to_numpy(),
            part["p"].to_numpy(),
            calibration.get(name),
        )
        for name, part in ordered.items()
    ]
    return {
        "confusion": [_confusion(name, part) for name, part in ordered.items()],
        "legend": [(model_name(name), _STYLES[name]) for name in ordered],
        **curves.figures(drawn),
        "ece": [(one.name, one.calibration["ece"]) for one in drawn if one.calibration],
        "coverage": _coverage(evaluation["coverage"]),
        "not_sure": evaluation["coverage"]["statements"],
    }


def _confusion(name: str, part: pd.DataFrame) -> dict[str, Any]:
    said, true = part["p"].to_numpy() > 0.5, part["y"].to_numpy() == 1
    return {
        "model": model_name(name),
        "counts": [
            [int((true & said).sum()), int((true & ~said).sum())],
            [int((~true & said).sum()), int((~true & ~said).sum())],
        ],
    }


def _coverage(coverage: dict[str, Any]) -> Markup:
    curve = sorted(coverage["coverage_curve"], key=lambda item: item["coverage"])
    curve = [item for item in curve if item["accuracy"] is not None]
    box = svg.Box(
        "Accuracy against coverage",
        "coverage (share of rows answered)",
        "accuracy",
        curves.SIDE,
        curves.SIDE - 40,
    )
    low, high = np.array([item["interval"] for item in curve]).T
    line = svg.Line(
        "accuracy",
        np.array([item["coverage"] for item in curve]),
        np.array([item["accuracy"] for item in curve]),
        "c0",
        low,
        high,
    )
    return svg.lines(box, [line])
