"""The words and the page for a run that ended."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from toolwear.common.states import State

SUCCEEDED = "SUCCEEDED"

_ADVICE = {
    "ingest": "Look at the recordings with `toolwear data --data FOLDER`.",
    "validate": "Open the validation report and failing_rows.csv beside it; mend or leave out the "
    "run that they name.",
    "guard": "Open the page that the sentence names; mend or leave out what it names. A run "
    "whose label a person has checked passes after "
    "`toolwear vouch RUN --data FOLDER --why REASON`.",
    "automl": "Give the search more seconds or memory (search_seconds, search_memory_mb), or look "
    "at its log.",
    "serve_check": "The package answered differently from the evaluation, or did not start: its "
    "log is in the step's output. Nothing was promoted.",
    "deploy": "The new model did not come up or answered wrongly; the one before serves as it did. "
    "deployment.json has the answers, and the step's log the pods'.",
}
_MENDABLE = "Mend what the sentence names and start the run again; finished steps are cached."
_AGAIN = "Start the run again if it is wanted; finished steps come from the cache."
_DEFECT = (
    "This is a defect of ours: keep the log and report it. Start again to resume from the cache."
)


def advice(step: str, *, mendable: bool) -> str:
    """Return what a person can do about the failed step."""
    return f"{_ADVICE.get(step, '')} {_MENDABLE if mendable else _DEFECT}".strip()


def page(title: str, failures: Sequence[dict[str, Any]]) -> str:
    """Return a self-contained HTML page: which step, why, and what to do.

    Args:
        title: headline.
        failures: events of failed steps with `step`, `reason`, `user_error` and `traceback`.
    """
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{escape(title)}</title>",
        "<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;",
        "max-width:46rem;margin:2rem auto;padding:0 1rem}pre{overflow:auto;padding:1rem;",
        "border:1px solid #8886;border-radius:6px;font-size:13px}</style>",
        f"<h1>{escape(title)}</h1>",
    ]
    for failure in failures:
        step = str(failure["step"])
        parts.append(f"<h2>Step “{escape(step)}”</h2>")
        parts.append(
            f"<p><strong>Why:</strong> {escape(str(failure.get('reason', 'unknown')))}</p>"
        )
        what = _AGAIN
        if failure.get("state") not in (State.KILLED, State.CANCELLED):
            what = advice(step, mendable=bool(failure.get("user_error")))
        parts.append(f"<p><strong>What to do:</strong> {escape(what)}</p>")
        if failure.get("traceback"):
            parts.append(f"<pre>{escape(str(failure['traceback']))}</pre>")
    return "\n".join(parts) + "\n"
