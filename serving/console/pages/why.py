"""Why: one prediction explained by four methods side by side, and the model as a whole by two."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from serving.console import recordings, svg
from serving.console.pages.base import FOLDER, Console
from serving.console.parts import PartDownError, ServedModel
from serving.console.reasons import sentences
from toolwear.dataset import schema
from toolwear.explain.findings import agreement
from toolwear.explain.methods.subject import Envelope
from toolwear.explain.quality import quality_sentence
from toolwear.explain.registry import METHODS, SHAP

LOCAL = tuple(name for name, method in METHODS.items() if not method.whole)
WHOLE = tuple(name for name, method in METHODS.items() if method.whole)
_SLOWEST = "anchor"
_AHEAD = 2  # explanations that nobody has asked for yet
_SHOWN = 4  # curves of the features that matter most


@dataclass(frozen=True, eq=False)
class Point:
    """A row of a recorded run.

    Attributes:
        run_id: of the run.
        row: its place in time.
        rows: of the run.
        phase: of the machining.
        served: the model that is asked.
        features: (features,).
    """

    run_id: str
    row: int
    rows: int
    phase: str
    served: ServedModel
    features: np.ndarray


class NoSuchRowError(Exception):
    """There is no such row to explain; its text is a sentence for the page."""


class WhyPages:
    """The routes of Why."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._ahead = threading.BoundedSemaphore(_AHEAD)

    def why(self, request: Request) -> Response:
        """Show the page; the explanations follow one by one."""
        runs = recordings.table(self._console.home)[schema.RUN_ID].tolist()
        run_id = request.query_params.get("run") or (runs[0] if runs else "")
        asked = request.query_params.get("row")
        fault, rows, down = "", 0, False
        row: int | str = asked or ""
        try:
            point = self._point(run_id, asked)
            row, rows = point.row, point.rows
        except NoSuchRowError as error:
            fault = str(error)
        except PartDownError as error:
            fault, down = str(error), True
        return self._console.page(
            "why.html.j2",
            runs=runs,
            run_id=run_id,
            row=row,
            rows=rows,
            fault=fault,
            down=down,
            first=SHAP,
            local=[name for name in LOCAL if name != SHAP],
            whole=WHOLE,
        )

    def part(self, request: Request) -> Response:
        """Show one explanation."""
        name = request.path_params["method"]
        if name not in (*METHODS, "agreement"):
            return self._console.page("fault.html.j2", 404, sentence="There is no such method.")
        try:
            point = None if name in WHOLE else self._asked(request)
            shown = self._shown(name, point)
        except NoSuchRowError as error:
            return self._console.page("fault.html.j2", 404, sentence=str(error))
        except PartDownError as error:
            return self._console.page("down.html.j2", sentence=str(error))
        return self._console.page("explanation.html.j2", shown=shown)

    def ahead(self, run_id: str) -> None:
        """Compute what takes longest of the page that opens for a run, and keep it."""
        if not self._ahead.acquire(blocking=False):
            return  # others' are under way; the page itself will ask
        try:
            with suppress(NoSuchRowError, PartDownError):  # the page itself will say so
                self._explanation(_SLOWEST, self._point(run_id, None))
        finally:
            self._ahead.release()

    def report(self, request: Request) -> Response:
        """Return all explanations as one self-contained file."""
        names = (*LOCAL, "agreement", *WHOLE)
        try:
            point = self._asked(request)
            with ThreadPoolExecutor(len(names)) as pool:
                shown = list(pool.map(lambda name: self._shown(name, point), names))
        except NoSuchRowError as error:
            return self._console.page("fault.html.j2", 404, sentence=str(error))
        except PartDownError as error:
            return self._console.page("down.html.j2", 503, sentence=str(error))
        text = self._console.render(
            "why_report.html.j2",
            point=point,
            shown=shown,
            css=(FOLDER / "static" / "console.css").read_text(encoding="utf-8"),
        )
        name = f"why-run-{point.run_id}-row-{point.row}.html"
        return HTMLResponse(text, headers={"content-disposition": f'attachment; filename="{name}"'})

    def _asked(self, request: Request) -> Point:
        return self._point(request.query_params.get("run", ""), request.query_params.get("row"))

    def _point(self, run_id: str, row: str | None) -> Point:
        served = self._console.parts.served()
        recording = recordings.recorded(self._console.home, run_id)
        if recording is None:
            raise NoSuchRowError("There is no such run here.")
        features = recording.features(served)
        if row is None:
            cutting = recording.judged
            usable = np.flatnonzero(np.isfinite(features).all(axis=1) & cutting)
            place = int(usable[len(usable) // 2]) if len(usable) else 0
        else:
            place = int(row) if row.isdecimal() and len(row) < 10 else -1
        if not 0 <= place < len(features):
            raise NoSuchRowError(
                f"Run {run_id} has the rows 0 to {len(features) - 1}; choose one of them."
            )
        if not np.isfinite(features[place]).all():
            raise NoSuchRowError(
                f"Row {place} ends no full window of cutting rows; choose one while it cuts."
            )
        phase = str(recording.frame[recording.dataset.phases.column].iloc[place])
        return Point(run_id, place, len(features), phase, served, features[place])

    def _explanation(self, name: str, point: Point | None) -> Envelope:
        served = point.served if point is not None else self._console.parts.served()
        row = None if point is None or name in WHOLE else point.features
        key = ("why", served.digest, name, None if row is None else row.tobytes())
        return self._console.kept.get(key, lambda: self._console.parts.explain(name, row))

    def _shown(self, name: str, point: Point | None) -> dict[str, Any]:
        """Return what the template shows of a method."""
        if name == "agreement":
            return self._agreement(point)
        found = self._explanation(name, point)
        if name != SHAP or point is None:
            return shown(name, found)
        leans = schema.CLASSES[int(found["data"]["rows"][0]["prediction"] > 0.5)]
        told = sentences(self._console, point.served, found)
        return {**shown(name, found), "leans": leans, "told": told}

    def _agreement(self, point: Point | None) -> dict[str, Any]:
        shap, lime, anchor = (self._explanation(name, point) for name in ("shap", "lime", "anchor"))
        agreed = agreement(shap, lime)["rows"][0]
        rule = [part["feature"] for part in anchor["data"]["rows"][0]["rule"]]
        in_rule = "is" if agreed["shap_top"] in rule else "is not"
        sentences = [
            agreed["sentence"],
            f"SHAP's first, {agreed['shap_top']}, {in_rule} part of the anchor's rule.",
        ]
        if agreed["opposed_signs"]:
            names = ", ".join(agreed["opposed_signs"])
            sentences.append(f"SHAP and LIME point opposite ways on {names}.")
        if not lime["data"]["rows"][0]["faithful"]:
            sentences.append(
                "LIME's linear model does not fit here: believe SHAP where they differ."
            )
        return {
            "name": "agreement",
            "title": "Where they agree and disagree",
            "quality": "",
            "plots": [],
            "sentences": sentences,
            "table": None,
        }


def shown(name: str, found: Envelope) -> dict[str, Any]:
    """Return what the template shows of a method's answer."""
    return {
        "name": name,
        "title": _TITLES[name],
        "quality": quality_sentence(name, found["quality"]),
        **_SHOWS[name](found),
    }


_TITLES = {
    "shap": "SHAP: what each feature adds",
    "lime": "LIME: a straight line nearby",
    "anchor": "Anchor: a rule that holds the answer",
    "ice": "ICE: what if one feature were another",
    "pdp": "Partial dependence: the average of all such curves",
    "surrogate": "A small tree that imitates the model",
}


def _shap(found: Envelope) -> dict[str, Any]:
    row, names = found["data"]["rows"][0], found["meta"]["features"]
    items = list(zip(names, row["values"], row["standard_error"], row["features"], strict=True))
    items.sort(key=lambda item: -abs(item[1]))
    return {
        "sentences": [
            (
                f"P(worn) is {row['prediction']:.3f}; without any feature it would be "
                f"{found['data']['base_value']:.3f}. The bars are what leads from one to the other."
            )
        ],
        "plots": [svg.bars(_TITLES["shap"], [i[:3] for i in items], "adds to P(worn)")],
        "table": (
            ("feature", "value", "adds", "standard error"),
            [(name, svg.number(at), f"{v:+.4f}", f"{e:.4f}") for name, v, e, at in items],
        ),
    }


def _lime(found: Envelope) -> dict[str, Any]:
    row, names = found["data"]["rows"][0], found["meta"]["features"]
    items = list(zip(names, row["contributions"], row["weights"], strict=True))
    items.sort(key=lambda item: -abs(item[1]))
    fit = "fits well enough" if row["faithful"] else "does not fit well enough to rely on"
    return {
        "sentences": [
            (
                f"The line says {row['local_prediction']:.3f} where the model says "
                f"{row['prediction']:.3f}; its R² nearby is {row['r2']:.2f}: it {fit}."
            )
        ],
        "plots": [svg.bars(_TITLES["lime"], [(n, v, 0.0) for n, v, _ in items], "adds to P(worn)")],
        "table": (
            ("feature", "adds", "change for one standard deviation"),
            [(name, f"{v:+.4f}", f"{w:+.4f}") for name, v, w in items],
        ),
    }


def _anchor(found: Envelope) -> dict[str, Any]:
    row = found["data"]["rows"][0]
    held = row["held_out"]
    sentences = [
        f"If {row['text']}, the model says {schema.CLASSES[row['label']]} for "
        f"{row['precision']:.1%} of samples like it"
        + (" and reaches" if row["meets_threshold"] else ", which is short of")
        + f" the {found['quality']['threshold']:.0%} asked for."
        if row["rule"]
        else f"No rule is needed: nearly all samples are {schema.CLASSES[row['label']]}.",
        f"The rule covers {row['coverage']:.1%} of the held-out rows"
        + (
            f"; on these {held['covered']} the model agrees in {held['precision']:.1%}."
            if held["precision"] is not None
            else "."
        ),
    ]
    bounds = [
        (
            part["feature"],
            "-" if part["lower"] is None else svg.number(part["lower"]),
            "-" if part["upper"] is None else svg.number(part["upper"]),
        )
        for part in row["rule"]
    ]
    return {
        "sentences": sentences,
        "plots": [],
        "table": (("feature", "above", "up to"), bounds) if bounds else None,
    }


def _ice(found: Envelope) -> dict[str, Any]:
    curves = found["data"]["curves"]
    swing = {name: max(c["rows"][0]) - min(c["rows"][0]) for name, c in curves.items()}
    top = sorted(swing, key=lambda name: -swing[name])
    plots = []
    for name in top[:_SHOWN]:
        curve, grid = curves[name], np.array(curves[name]["grid"])
        q = {key: np.array(value) for key, value in curve["quantiles"].items()}
        box = svg.Box(f"P(worn) over {name}", name, "P(worn)", 460, 150, (0.0, 1.0))
        around = svg.Line("others", grid, q["0.5"], "c2", q["0.1"], q["0.9"])
        plots.append(
            svg.lines(box, [around, svg.Line("this row", grid, np.array(curve["rows"][0]))])
        )
    return {
        "sentences": [
            (
                "The strong line is this row with one feature changed; the thin line and its band "
                "are 80 % of other rows."
            ),
            f"It moves most with {top[0]} (by {swing[top[0]]:.3f}).",
        ],
        "plots": plots,
        "table": (
            ("feature", "moves P(worn) by"),
            [(name, f"{swing[name]:.4f}") for name in top],
        ),
    }


def _pdp(found: Envelope) -> dict[str, Any]:
    curves = found["data"]["curves"]
    top = sorted(curves, key=lambda name: -curves[name]["swing"])
    plots = []
    for name in top[:_SHOWN]:
        curve, grid = curves[name], np.array(curves[name]["grid"])
        mean, error = np.array(curve["mean"]), 2 * np.array(curve["standard_error"])
        box = svg.Box(f"mean P(worn) over {name}", name, "mean P(worn)", 460, 150, (0.0, 1.0))
        plots.append(
            svg.lines(box, [svg.Line("mean", grid, mean, "c0", mean - error, mean + error)])
        )
    return {
        "sentences": [f"{top[0]} changes the mean prediction most; bands are two standard errors."],
        "plots": plots,
        "table": (
            ("feature", "swing of mean P(worn)", "turns"),
            [(n, f"{curves[n]['swing']:.4f}", str(curves[n]["turns"])) for n in top],
        ),
    }


def _surrogate(found: Envelope) -> dict[str, Any]:
    quality = found["quality"]
    low, high = (f"{bound:.1%}" for bound in quality["interval"])
    return {
        "sentences": [
            (
                f"On {quality['rows']:,} rows that it was not fitted on, the tree gives "
                f"the model's answer in {quality['fidelity']:.1%} (95 % interval {low} to {high})."
            ),
            f"One answer for all rows would give it in {quality['one_label']:.1%}.",
        ],
        "plots": [],
        "text": found["data"]["text"],
        "table": (
            ("feature", "importance in the tree"),
            [
                (name, f"{value:.3f}")
                for name, value in sorted(
                    found["data"]["importances"].items(), key=lambda item: -item[1]
                )
                if value > 0
            ],
        ),
    }


_SHOWS = {
    "shap": _shap,
    "lime": _lime,
    "anchor": _anchor,
    "ice": _ice,
    "pdp": _pdp,
    "surrogate": _surrogate,
}
