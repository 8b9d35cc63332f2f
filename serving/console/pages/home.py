"""Home: is the tool worn? A recorded run or an uploaded file, and the state of the system."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from serving.console import evidence, recordings, uploads
from serving.console.few import Few, TooManyError, busy
from serving.console.look import Look, look, result
from serving.console.pages.base import Console
from serving.console.pages.sheet import sheet
from serving.console.pages.why import shown
from serving.console.parts import PartDownError
from serving.console.reasons import sentences, telling
from serving.console.recordings import MOST_BYTES
from toolwear.common import words
from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema
from toolwear.explain.registry import SHAP
from toolwear.release import champion as pointer
from toolwear.scoring.known import known_contract

_UPLOADS = (2, 2)  # at once, and waiting for a place
_NAME = 80  # characters of a file's name that are shown


_Show = Callable[[Look, dict[str, str]], Response]


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
        why = {"place": telling(seen)}
        page = self._console.page("result.html.j2", result={**result(seen, run_id), "why": why})
        page.background = BackgroundTask(self._ahead, run_id)
        return page

    async def upload(self, request: Request) -> Response:
        """Judge an uploaded file; no byte of it is read before there is a place for it.

        Who has signed in has places of their own, which others cannot take.
        """
        return await self._placed(request, self._result)

    async def upload_sheet(self, request: Request) -> Response:
        """Judge an uploaded file, and answer with the sheet for the machinist."""
        return await self._placed(request, lambda seen, _typed: sheet(self._console, seen, None))

    async def _placed(self, request: Request, show: _Show) -> Response:
        signed_in = self._console.sessions.of(request) is not None
        try:
            async with (self._of_operators if signed_in else self._of_all).place():
                return await self._judged(request, show)
        except TooManyError:
            sentence = "Too many files are being sent at the moment; send it again in a moment."
            return busy(await run_in_threadpool(self._page, fault=sentence, status=503))

    async def _judged(self, request: Request, show: _Show) -> Response:
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
        return await run_in_threadpool(show, seen, typed)

    def _result(self, seen: Look, typed: dict[str, str]) -> Response:
        """Show what the served model says of an uploaded file, and why at the row that tells most.

        The file is not kept, so neither is its explanation.
        """
        place, down = telling(seen), ""
        told: list[str] = []
        explained = None
        try:
            shap = self._console.parts.explain(SHAP, seen.features[place.row])
            told = sentences(self._console, seen.served, shap)
            explained = shown(SHAP, shap)
        except PartDownError as error:
            down = str(error)
        why = {"place": place, "told": told, "shown": explained, "down": down}
        return self._page(result={**result(seen, None), "why": why}, typed=typed)

    def _judge(self, file: UploadFile, fields: dict[str, str]) -> Look:
        name = (file.filename or "").replace("\\", "/").rpartition("/")[2][:_NAME] or "the file"
        dataset = known_contract(self._console.home)
        return look(self._console, recordings.uploaded(file.file, name, fields, dataset))

    def _page(
        self,
        run_id: str | None = None,
        fault: str = "",
        result: dict[str, Any] | None = None,
        status: int = 200,
        typed: Mapping[str, str] | None = None,
    ) -> Response:
        dataset = known_contract(self._console.home)
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
            settings=dataset.settings,
            columns=len(dataset.raw),
            typed={name: (typed or {}).get(name, "") for name in dataset.settings},
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
        """Return alarms, how many kinds were judged, and worn tools; None if nobody tells."""
        try:
            state = self._console.parts.drift()
        except PartDownError:
            return {"alarms": None, "worn": []}
        judged = sum(kind["result"] is not None for kind in state["kinds"].values())
        machines = state.get("machines", {})
        worn = [
            {
                "machine": name,
                "share": one["share"],
                **one["worn"],
                "warning": words.warning(one["worn"]["use"]),
            }
            for name, one in machines.items()
            if one["worn"] is not None
        ]
        return {
            "alarms": state["alarms"],
            "judged": judged,
            "kinds": len(state["kinds"]),
            "worn": worn,
            "watched": len(machines),
        }


_SERVERS = ("predictor", "transformer", "explainer")
