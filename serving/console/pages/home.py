"""Home: is the tool worn? A recorded run or an uploaded file, and the state of the system."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from serving.console import evidence, recordings, svg, uploads
from serving.console.few import Few, TooManyError, busy
from serving.console.pages.base import Console
from serving.console.parts import PartDownError, ServedModel
from serving.console.recordings import MOST_BYTES, Recording
from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema
from toolwear.model.abstention import NOT_SURE
from toolwear.release import champion as pointer
from toolwear.scoring.logic import majority

_UPLOADS = (2, 2)  # at once, and waiting for a place
_MOST_STRETCHES = 12
_NAME = 80  # characters of a file's name that are shown
_SIGNALS = (
    ("S1_OutputPower", "spindle power", "kW"),
    ("S1_CurrentFeedback", "spindle current", "A"),
    ("X1_ActualVelocity", "table speed along X", "mm/s"),
    ("Z1_ActualPosition", "depth (Z position)", "mm"),
)


@dataclass(frozen=True, eq=False)
class Look:
    """What the served model says along a recording.

    Attributes:
        recording: the recording.
        served: the model.
        answers: one of ANSWERS for each row; "not sure" where the model has no features.
        worn: P(worn), NaN where it has none.
        reasons: why not sure.
    """

    recording: Recording
    served: ServedModel
    answers: np.ndarray
    worn: np.ndarray
    reasons: list[str]


def look(console: Console, recording: Recording) -> Look:
    """Ask the served model about every row of a recording that has features."""
    served = console.parts.served()
    features = recording.features(served)
    complete = np.isfinite(features).all(axis=1)
    if not complete.any():
        raise ToolwearError(
            f"No row ends a window of {served.spec.window} cutting rows, which the model needs; "
            "send a longer part of the run."
        )
    answers = np.full(len(features), NOT_SURE, dtype="<U16")
    worn = np.full(len(features), np.nan)
    reasons = ["This row ends no full window of cutting rows."] * len(features)
    found = console.parts.verdicts(served, features[complete])
    places = np.flatnonzero(complete)
    answers[places], worn[places] = found.answers, found.worn
    for place, reason in zip(places, found.reasons, strict=True):
        reasons[place] = reason
    return Look(recording, served, answers, worn, reasons)


def result(seen: Look, run_id: str | None) -> dict[str, Any]:
    """Return what the template shows of a look."""
    recording, seconds = seen.recording, seen.recording.seconds
    layers = recording.frame[schema.PHASE].isin(schema.ACTIVE_PHASES).to_numpy()
    judged = layers if layers.any() else np.ones(len(layers), dtype=bool)
    shares = {
        answer: float((seen.answers[judged] == answer).mean()) for answer in (*_ORDER, NOT_SURE)
    }
    return {
        "name": recording.name if run_id is None else recording.name.capitalize(),
        "settings": recording.settings,
        "warnings": recording.warnings,
        "run_id": run_id,
        "condition": recording.condition,
        "restored": recording.restored,
        "rows": len(seconds),
        "judged": int(judged.sum()),
        "only_layers": bool(layers.any()),
        "verdict": majority(shares, NOT_SURE),
        "shares": shares,
        "served": seen.served,
        "strip": svg.verdicts(seconds, seen.answers, f"Verdicts along {recording.name}"),
        "probability": _probability(seen, seconds),
        "signals": [_signal(recording, seconds, *signal) for signal in _SIGNALS],
        "stretches": _stretches(seen),
        "more_stretches": max(0, len(svg.stretches(seen.answers)) - _MOST_STRETCHES),
    }


_ORDER = (schema.WORN, schema.UNWORN)


def _probability(seen: Look, seconds: np.ndarray) -> Markup:
    box = svg.Box(
        f"Probability of wear along {seen.recording.name}",
        "seconds since the start",
        "P(worn)",
        height=150,
        y_range=(0.0, 1.0),
    )
    return svg.lines(box, [svg.Line("P(worn)", seconds, seen.worn)], [(0.5, "even")])


def _signal(
    recording: Recording, seconds: np.ndarray, column: str, name: str, unit: str
) -> dict[str, Any]:
    values = recording.frame[column].to_numpy(dtype=np.float64)
    box = svg.Box(f"{name} along {recording.name}", "seconds", unit, 460, 130)
    return {
        "name": name,
        "column": column,
        "plot": svg.lines(box, [svg.Line(name, seconds, values, "c1")]),
        "unit": unit,
        "low": float(values.min()),
        "mean": float(values.mean()),
        "high": float(values.max()),
    }


def _stretches(seen: Look) -> list[dict[str, Any]]:
    """Return the longest stretches of one answer, in the order of time."""
    all_of_them = svg.stretches(seen.answers)
    longest = sorted(all_of_them, key=lambda s: s[1] - s[2])[:_MOST_STRETCHES]
    found = []
    for answer, first, last in sorted(longest, key=lambda s: s[1]):
        middle = (first + last) // 2
        known = np.isfinite(seen.worn[first : last + 1])
        found.append(
            {
                "answer": answer,
                "from": first * schema.SAMPLE_PERIOD_SECONDS,
                "to": (last + 1) * schema.SAMPLE_PERIOD_SECONDS,
                "row": middle,
                "worn": float(seen.worn[first : last + 1][known].mean()) if known.any() else None,
                "reason": seen.reasons[middle],
            }
        )
    return found


class HomePages:
    """The routes of Home.

    Args:
        console: what pages need.
        ahead: told the run that somebody looks at, once the page is on its way.
    """

    def __init__(self, console: Console, ahead: Callable[[str], None]) -> None:
        self._console = console
        self._ahead = ahead
        self._of_all, self._of_operators = Few(*_UPLOADS), Few(*_UPLOADS)

    def home(self, request: Request) -> Response:
        """Show the page; what it has to ask for follows."""
        return self._page(run_id=request.query_params.get("run"))

    def run(self, request: Request) -> Response:
        """Show the verdicts along a recorded run."""
        run_id = request.query_params.get("run", "")
        recording = recordings.recorded(self._console.home, run_id)
        if recording is None:
            return self._console.page("fault.html.j2", 404, sentence="There is no such run here.")
        try:
            seen = look(self._console, recording)
        except PartDownError as error:
            return self._console.page("down.html.j2", sentence=str(error))
        page = self._console.page("result.html.j2", result=result(seen, run_id))
        page.background = BackgroundTask(self._ahead, run_id)
        return page

    async def upload(self, request: Request) -> Response:
        """Judge an uploaded file; no byte of it is read before there is a place for it.

        Who has signed in has places of their own, which others cannot take.
        """
        signed_in = self._console.sessions.of(request) is not None
        try:
            async with (self._of_operators if signed_in else self._of_all).place():
                return await self._judged(request)
        except TooManyError:
            sentence = "Too many files are being sent at the moment; send it again in a moment."
            return busy(await run_in_threadpool(self._page, fault=sentence, status=503))

    async def _judged(self, request: Request) -> Response:
        try:
            form = await uploads.read(request)
        except ToolwearError as error:
            return await run_in_threadpool(self._page, fault=str(error), status=422)
        typed = {key: value for key, value in form.items() if isinstance(value, str)}
        try:
            seen = await run_in_threadpool(self._judge, uploads.file_of(form), typed)
        except ToolwearError as error:
            return await run_in_threadpool(self._page, fault=str(error), status=422, typed=typed)
        except PartDownError as error:
            return await run_in_threadpool(
                self._page, fault=f"{error} Send the file again.", status=503, typed=typed
            )
        finally:
            await form.close()
        return await run_in_threadpool(self._page, result=result(seen, None), typed=typed)

    def _judge(self, file: UploadFile, fields: dict[str, str]) -> Look:
        name = (file.filename or "").replace("\\", "/").rpartition("/")[2][:_NAME] or "the file"
        feed, clamp = (fields.get(setting, "") for setting in schema.SETTING_COLUMNS)
        dataset = recordings.dataset(self._console.home)
        return look(self._console, recordings.uploaded(file.file, name, feed, clamp, dataset))

    def _page(
        self,
        run_id: str | None = None,
        fault: str = "",
        result: dict[str, Any] | None = None,
        status: int = 200,
        typed: Mapping[str, str] | None = None,
    ) -> Response:
        table = recordings.table(self._console.home)
        runs = table.to_dict("records")
        known = {row[schema.RUN_ID] for row in runs}
        if result is None and not fault and run_id not in known:
            run_id = min(known, default=None)
        return self._console.page(
            "home.html.j2",
            status,
            runs=runs,
            run_id=run_id if result is None and not fault else None,
            fault=fault,
            result=result,
            most_bytes=MOST_BYTES,
            typed={name: (typed or {}).get(name, "") for name in schema.SETTING_COLUMNS},
        )

    def strip(self, _request: Request) -> Response:
        """Show the state of the system in one strip."""
        console = self._console
        latest = evidence.runs(console.home)
        return console.page(
            "strip.html.j2",
            champion=pointer.read(console.home.root),
            states={name: console.parts.state(name) for name in _SERVERS},
            alerts=self._alerts(),
            drift=self._drift(),
            latest=latest[0].row() if latest else None,
            log_fault=evidence.audit_log_of(console.home)[1],
        )

    def _alerts(self) -> dict[str, Any]:
        """Return the number of open alerts, or why there is none to tell."""
        try:
            return {"open": len(self._console.parts.alerts())}
        except PartDownError as error:
            return {"open": None, "stopped": error.stopped}

    def _drift(self) -> dict[str, Any]:
        """Return the kinds with an alarm and how many were judged; None if nobody tells."""
        try:
            state = self._console.parts.drift()
        except PartDownError:
            return {"alarms": None}
        judged = sum(kind["result"] is not None for kind in state["kinds"].values())
        return {"alarms": state["alarms"], "judged": judged, "kinds": len(state["kinds"])}


_SERVERS = ("predictor", "transformer", "explainer")
