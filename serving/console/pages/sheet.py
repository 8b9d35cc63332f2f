"""The sheet for the machinist: the verdict on one page, in the words of the shop floor."""

from __future__ import annotations

from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from serving.console import recordings
from serving.console.look import Look, look, shares_of, verdict_of
from serving.console.pages.base import Console
from serving.console.parts import PartDownError
from serving.console.reasons import sentences, telling
from toolwear.common import words
from toolwear.dataset import schema
from toolwear.explain.registry import SHAP
from toolwear.model.abstention import NOT_SURE

_CLEAR, _FAIRLY = 0.9, 0.75  # share of the cut with one answer
_SAID = {
    schema.WORN: "The tool is worn",
    schema.UNWORN: "The tool is not worn",
    NOT_SURE: "Not sure: look at the tool",
}
_DO = {
    schema.WORN: (
        "Change the tool before the next part.",
        "Check the part that was cut with it.",
        "Look at the edge of the tool that you take out, and write down below what you see.",
    ),
    schema.UNWORN: (
        "Carry on with this tool.",
        "Check again after the next part.",
    ),
    NOT_SURE: (
        "Look at the edge of the tool before the next part, and write down below what you see.",
        "If it is worn, change it. If it is not, carry on and check again after the next part.",
    ),
}
_INSPECT = "Do not decide by this sheet alone: look at the edge of the tool first."


class SheetPages:
    """The route of the sheet of a recorded run."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def recorded(self, request: Request) -> Response:
        """Show the sheet of a recorded run."""
        run_id = request.query_params.get("run", "")
        recording = recordings.recorded(self._console.home, run_id)
        if recording is None:
            return self._console.page("missing.html.j2", 404)
        try:
            return sheet(self._console, look(self._console, recording), run_id)
        except PartDownError as error:
            return self._console.page("failed.html.j2", 503, sentence=str(error))


def sheet(console: Console, seen: Look, run_id: str | None) -> Response:
    """Return the sheet of a recording; without the explainer it says why it has no signals.

    Args:
        console: what pages need.
        seen: what the served model says.
        run_id: of a recorded run, None for an uploaded file.
    """
    place, verdict, down = telling(seen, typical=True), verdict_of(seen), ""
    signals: list[str] = []
    warning = words.warning(seen.served.use)
    try:
        shap = console.parts.explain(SHAP, seen.features[place.row])
        signals = sentences(console, seen.served, shap)
    except PartDownError as error:
        down = str(error)
    return console.page(
        "sheet.html.j2",
        name=seen.recording.name,
        settings=seen.recording.settings,
        warnings=seen.recording.warnings,
        run_id=run_id,
        verdict=verdict,
        said=_SAID[verdict],
        sure=_sure(seen, verdict),
        place=place,
        signals=signals,
        down=down,
        todo=[*([_INSPECT] if warning else []), *_DO[verdict]],
        warning=warning,
        served=seen.served,
        now=f"{datetime.now():%Y-%m-%d %H:%M}",
    )


def _sure(seen: Look, verdict: str) -> str:
    shares = shares_of(seen)
    worn, unworn, open_ = (round(100 * shares[a]) for a in (schema.WORN, schema.UNWORN, NOT_SURE))
    counted = (
        f"of 100 moments of the cut {worn} look worn, {unworn} look unworn, and {open_} can't be "
        "told."
    )
    share = 0.0 if verdict == NOT_SURE else shares[verdict]
    word = "clear" if share >= _CLEAR else "fairly clear" if share >= _FAIRLY else "not clear"
    return f"The signals are {word}: {counted}"
