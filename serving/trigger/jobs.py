"""`/v1/scoring`: jobs that score the recordings of a folder or a bucket."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from starlette.responses import FileResponse

from serving.common.refusal import Refusal
from serving.trigger.asked import key_of
from serving.trigger.dispatcher import Dispatcher
from serving.trigger.signature import by_of, signed
from serving.trigger.store import Accepted, Request
from toolwear.common.causes import Cause
from toolwear.common.errors import ToolwearError
from toolwear.common.files import see_regular
from toolwear.common.states import State
from toolwear.common.thresholds import thresholds
from toolwear.dataset.contract import DataSet, named
from toolwear.run.scoring import VERDICTS_FILE, Progress, asked, kept, progress
from toolwear.scoring.known import known_contract
from toolwear.scoring.sources import settings_of
from toolwear.workspace.home import Home

PATH = "/v1/scoring"
MOST = 100  # jobs that are listed at a time
PARQUET = "application/vnd.apache.parquet"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
_DETAIL = 150  # characters
_FAULT = "fault"  # column of the verdicts that is null where there is none


class Jobs:
    """The jobs of a home.

    Args:
        dispatcher: gives each its run.
        home: the system's folder.
    """

    def __init__(self, dispatcher: Dispatcher, home: Home) -> None:
        self.dispatcher = dispatcher
        self._home = home

    def accept(self, body: dict[str, Any], key: str | None) -> Accepted:
        """Keep a job, once however often it is told with one key.

        Args:
            body: the parameters of `ScoringParameters`, and "by".
            key: the header of that name.

        Raises:
            Refusal: something in it is not right, or a folder is not there.
            TooManyError: too many are waiting already.
        """
        by = by_of(body)
        given = {name: body[name] for name in body if name != "by"}
        wanted = _parameters(given, known_contract(self._home))
        lacking = self.dispatcher.backend.lacks(wanted)
        if lacking:
            raise Refusal("request", lacking, 409)
        request = Request(
            Cause.ON_DEMAND, signed(wanted["data"][:_DETAIL], by), key_of(key), wanted
        )
        # Not the dispatcher's own way to accept, which counts what is to start a training run.
        return self.dispatcher.store.accept(request, time.time(), thresholds().trigger.waiting)

    def told(self, number: int) -> dict[str, Any]:
        """Return what there is to say of a job.

        Raises:
            Refusal: there is none of this number.
        """
        found = self._found(number)
        own = {name: found[name] for name in ("parameters", "attempts")}
        return self._summary(found) | own

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """Return so many jobs, the newest first, without what each was asked and its attempts."""
        return [self._summary(found) for found in self.dispatcher.store.causes(limit)]

    def verdicts(self, number: int) -> FileResponse:
        """Return the verdicts of a job.

        Raises:
            Refusal: there is no such job, it has none, or they are elsewhere.
        """
        found = self._found(number)
        if found["status"] != State.SUCCEEDED:
            reason = found["attempts"][-1]["reason"] if found["attempts"] else ""
            told = f"The job has no verdicts; it is {found['status']}"
            raise Refusal("request", f"{told}: {reason}" if reason else f"{told}.", 409)
        file = self._file(found["attempts"][-1]["name"])
        if not file.exists():
            place = found["parameters"]["target"]
            sent = f"; they were sent to {place}" if place else ""
            raise Refusal("request", f"The verdicts are not kept here any more{sent}.", 404)
        name = f"verdicts-{number}.parquet"
        return FileResponse(see_regular(file), media_type=PARQUET, filename=name)

    def _summary(self, found: dict[str, Any]) -> dict[str, Any]:
        name = found["attempts"][-1]["name"] if found["attempts"] else ""
        here = found["status"] == State.SUCCEEDED and self._file(name).exists()
        return {
            **{key: found[key] for key in ("id", "status", "detail", "at")},
            "progress": (progress(self._home, name) if name else Progress()).model_dump(),
            "counts": _counts(self._file(name)) if here else None,
            "verdicts": f"{PATH}/{found['id']}/verdicts" if here else None,
        }

    def _found(self, number: int) -> dict[str, Any]:
        found = self.dispatcher.store.causes(1, number)
        if not found:
            raise no_such_job()
        return found[0]

    def _file(self, name: str) -> Path:
        return kept(self._home, name) / VERDICTS_FILE


def no_such_job() -> Refusal:
    """Return how to refuse a number that no job has."""
    return Refusal("request", "There is no scoring job of this id here.", 404)


def _parameters(given: dict[str, Any], known: DataSet) -> dict[str, str]:
    try:
        found: dict[str, str] = asked(given).model_dump()
        settings_of(found["settings"], known)
        if found["dataset"]:
            found["dataset"] = _contract(found["dataset"])
    except ToolwearError as error:
        raise Refusal("request", str(error)) from None
    return found


def _contract(given: str) -> str:
    """Return a contract's content; never that of a file, which a name with a slash would be."""
    if not given.startswith("{") and not _NAME.fullmatch(given):
        raise ToolwearError(
            "The parameter 'dataset' has to be a data set's name, or a contract as JSON."
        )
    return named(given).content


def _counts(file: Path) -> dict[str, int] | None:
    """Return how many recordings there are, and how many of them could not be scored.

    None: the file is not there or damaged, which must not keep other jobs from being told.
    """
    try:
        about = pq.ParquetFile(see_regular(file)).metadata
        column = about.schema.names.index(_FAULT)
    except (OSError, ValueError, ToolwearError):
        return None
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    whole = sum(group.column(column).statistics.null_count for group in groups)
    return {"recordings": about.num_rows, "faulty": about.num_rows - whole}
