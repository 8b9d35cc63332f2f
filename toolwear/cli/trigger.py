"""The trigger from the command line: started here, or asked for a run."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from toolwear.cli.options import TRIGGER_VARIABLE
from toolwear.common.errors import EXIT_FAILURE, ToolwearError
from toolwear.common.loopback import by_proxy
from toolwear.common.person import name_of_user
from toolwear.common.s3 import is_bucket
from toolwear.common.states import ENDED, State
from toolwear.dataset.contract import named
from toolwear.run.kubeflow import TOKEN_VARIABLE
from toolwear.workspace.home import Home
from toolwear.workspace.servers import address
from toolwear.workspace.tokens import Scope, Tokens

_START = "toolwear trigger, or toolwear serve"
_SECONDS = 10.0
_POLL_SECONDS = 0.5
_AWAY_SECONDS = 60.0  # runs go on without their trigger
_SCORING = "/v1/scoring"
_UNDER_WAY = (State.WAITING, State.RUNNING)


class _AwayError(ToolwearError):
    """Nobody answers."""


def serve_here(
    home: Path,
    port: int,
    watch: str,
    schedule: str,
    settings: Mapping[str, Any],
    kfp_host: str,
) -> None:
    """Serve the trigger over a home on loopback; see `serving.trigger.service.Options`."""
    from serving.trigger.service import Options, serve

    serve(
        Options(
            home=Home.at(home),
            http_port=port,
            watch=watch,
            schedule=schedule,
            settings=settings,
            kfp_host=kfp_host,
            kfp_token=os.environ.get(TOKEN_VARIABLE, ""),
        )
    )


def ask(
    url: str,
    home: Path,
    why: str,
    parameters: Mapping[str, Any],
    wait: bool,
    console: Console,
) -> None:
    """Ask a trigger for a run and print the number of the request.

    Args:
        url: of the trigger; empty for that of the home.
        home: has the operator's token, if the environment has none.
        why: detail of the cause.
        parameters: of the run, beside the trigger's own.
        wait: whether to tell its steps until it ends.
        console: for what the user is told.

    Raises:
        ToolwearError: no trigger is at work or answers, or it refuses.
        SystemExit: the run that was waited for failed.
    """
    url = address(Home.at(home), "trigger", url, _START)
    own = dict(parameters)
    if own.get("data"):
        own["data"] = _whole(own["data"])
    body = {"detail": why, "parameters": own, "by": name_of_user()}
    told = _answer("POST", url, "/retrain", json=body, headers=_authorized(home))
    console.print(f"retrain request {told['id']} is {told['status']}: {url}/runs/{told['id']}")
    if wait:
        _follow(url, told["id"], console)


def score(
    url: str, home: Path, data: str, settings: str, dataset: str, target: str, console: Console
) -> None:
    """Have a trigger score a folder or a bucket; tell how far it is, and where the verdicts are.

    Args:
        url: of the trigger; empty for $TRIGGER_URL, else that of the home.
        home: has the operator's token, if the environment has none.
        data: folder of recordings, or s3://bucket/prefix.
        settings: of all of them, such as `feedrate=6,clamp_pressure=4`; empty: as in their table.
        dataset: name or path of the contract that reads them; empty: as `ScoringParameters`.
        target: folder or s3://bucket/prefix that gets the verdicts, too; empty for none.
        console: for what the user is told.

    Raises:
        ToolwearError: no trigger is at work or answers, or it refuses.
        SystemExit: the job did not succeed.
    """
    url = address(Home.at(home), "trigger", url or os.environ.get(TRIGGER_VARIABLE, ""), _START)
    body = {
        "data": _whole(data),
        "settings": settings,
        "dataset": named(dataset).content if dataset else "",
        "target": _whole(target),
        "by": name_of_user(),
    }
    told = _answer("POST", url, _SCORING, json=body, headers=_authorized(home))
    path = f"{_SCORING}/{told['id']}"
    console.print(f"scoring job {told['id']} is {told['status']}: {url}{path}", soft_wrap=True)
    said = ""
    for job in _looks(url, path):
        done, of, last = (job["progress"][name] for name in ("done", "of", "last"))
        line = f"{done} of {of}: {last}" if of else last
        if line != said:
            console.print(line, soft_wrap=True)
        said = line
    _end("job", job, console)
    if job["counts"]:
        console.print("{recordings} recordings, {faulty} of them faulty".format(**job["counts"]))
    places = [f"{url}{job['verdicts']}" if job["verdicts"] else "", body["target"]]
    console.print(f"verdicts: {', '.join(place for place in places if place)}", soft_wrap=True)


def cancel(url: str, home: Path, cause: str, why: str, console: Console) -> None:
    """Tell a trigger that a run is not wanted any more.

    Raises:
        ToolwearError: no trigger is at work or answers, or the run has ended.
    """
    url = address(Home.at(home), "trigger", url, _START)
    told = _answer(
        "POST",
        url,
        f"/runs/{cause}/cancel",
        json={"why": why, "by": name_of_user()},
        headers=_authorized(home),
    )
    ending = " and is being cancelled" if told["status"] == State.RUNNING else ""
    console.print(f"retrain request {told['id']} is {told['status']}{ending}")


def cancel_run(url: str, home: Path, name: str, why: str, console: Console) -> None:
    """Tell the trigger that started a run that it is not wanted any more.

    Raises:
        ToolwearError: no trigger is at work or answers, it has not started the run, or the run
            has ended.
    """
    at = address(Home.at(home), "trigger", url, _START)
    for cause in _answer("GET", at, "/runs")["runs"]:
        if any(attempt["name"] == name for attempt in cause["attempts"]):
            cancel(at, home, cause["id"], why, console)
            return
    raise ToolwearError(
        f"The trigger at {at} has not started the run {name}; end it with Ctrl-C where it was "
        "started."
    )


def _whole(place: str) -> str:
    """Return a folder's path from the root: the trigger has another working folder."""
    return place if not place or is_bucket(place) else str(Path(place).resolve())


def _authorized(home: Path) -> dict[str, str]:
    return {"authorization": f"Bearer {Tokens(Home.at(home)).own(Scope.OPERATE)}"}


def _follow(url: str, cause: str, console: Console) -> None:
    """Tell what a run does until it has ended."""
    seen: list[str] = []
    for run in _looks(url, f"/runs/{cause}"):
        lines = [f"attempt {a['attempt']}: {a['name']}" for a in run["attempts"]]
        steps = [step for step in run["steps"] if step["state"] not in _UNDER_WAY]
        name = run["attempts"][-1]["name"] if run["attempts"] else ""
        lines += [f"{name} {s['step']}: {s['state']} {_took(s['seconds'])}".rstrip() for s in steps]
        for line in lines:
            if line not in seen:
                console.print(line)
        seen += lines
    _end("run", run, console)


def _looks(url: str, path: str) -> Iterator[dict[str, Any]]:
    """Yield what a trigger tells until it is an end; one that is started again is waited for."""
    answered = time.monotonic()
    while True:
        try:
            told = _answer("GET", url, path)
        except _AwayError:
            if time.monotonic() - answered > _AWAY_SECONDS:
                raise
        else:
            answered = time.monotonic()
            yield told
            if told["status"] in ENDED:
                return
        time.sleep(_POLL_SECONDS)


def _end(what: str, told: Mapping[str, Any], console: Console) -> None:
    reason = told["attempts"][-1]["reason"] if told["attempts"] else ""
    console.print(f"{what} {told['status']} {reason}".rstrip(), soft_wrap=True)
    if told["status"] != State.SUCCEEDED:
        sys.exit(EXIT_FAILURE)


def _took(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"


def _answer(method: str, url: str, path: str, **more: Any) -> dict[str, Any]:
    try:
        answer = httpx.request(
            method, url + path, timeout=_SECONDS, trust_env=by_proxy(url), **more
        )
    except (httpx.TransportError, httpx.InvalidURL):
        raise _AwayError(
            f"No trigger answers at {url}; start one ({_START}) or give --url."
        ) from None
    if not answer.is_success:
        raise ToolwearError(f"The trigger at {url} refused: {_sentence(answer)}")
    told: dict[str, Any] = answer.json()
    return told


def _sentence(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"
