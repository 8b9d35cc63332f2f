"""The trigger's OpenAPI document."""

from __future__ import annotations

from typing import Any

from serving.common.described import document, operation
from serving.trigger.alerts import VERSION
from serving.trigger.jobs import MOST, PARQUET, PATH
from serving.trigger.operations import ALLOW, REFUSE
from toolwear.common.causes import Cause
from toolwear.run.config import RunParameters
from toolwear.run.scoring import ScoringParameters
from toolwear.workspace.tokens import Scope

_TEXT = {"type": "string"}
_FAULTY = {400: "The request is faulty; the sentence says what to mend."}
_REFUSED = {
    **_FAULTY,
    401: "There is no token, or a wrong one.",
    403: "The token is for something else.",
    413: "The body is too long.",
    415: "The body is not application/json in UTF-8.",
    429: "Too many wrong tokens came, or too much waits; Retry-After says when to try again.",
}
_MOVED = {
    200: "It is done.",
    202: "It goes on; GET /approvals tells of it.",
    **_REFUSED,
    409: "Another move is at work, or this one can't be done; the sentence says why.",
}
_NONE = {404: "There is none of this id here."}


def described() -> dict[str, Any]:
    """Return the document."""
    said = {"why": _TEXT, "by": _TEXT}
    decision = {"decision": {"enum": [ALLOW, REFUSE]}, **said}
    settings = RunParameters.model_json_schema()["properties"]
    parameters = _record({**settings, "fast": {"type": "boolean"}})
    wanted = {"cause": {"enum": list(Cause)}, "detail": _TEXT, "by": _TEXT}
    wanted["parameters"] = parameters
    return document(
        "trigger",
        {
            "/retrain": {
                "post": operation(
                    "Request a run; all keys may be left out",
                    {202: "It is taken: its id.", **_REFUSED, 409: "There is nothing to train on."},
                    body=_record(wanted),
                    example={"detail": "new inserts", "parameters": {"seed": 3}},
                    token=Scope.OPERATE,
                ),
                "get": operation(
                    "The settings of a run that is given none of its own",
                    {200: "They.", 503: "Kubeflow Pipelines does not answer."},
                ),
            },
            "/alerts": {
                "post": operation(
                    "Take a notification of Alertmanager",
                    {200: "What its alerts started, and how many start nothing.", **_REFUSED},
                    body=_record({"version": {"const": VERSION}, "alerts": {"type": "array"}}),
                    example={"version": VERSION, "alerts": []},
                    token=Scope.ALERT,
                )
            },
            "/runs": {"get": operation("The newest requests and their runs", {200: "They."})},
            "/runs/{id}": {
                "get": operation("A request, its run and the run's steps", {200: "It.", **_NONE})
            },
            "/runs/{id}/cancel": {
                "post": operation(
                    "Cancel a request, whether it waits or is running",
                    {202: "It is taken.", **_REFUSED, **_NONE, 409: "The run has ended."},
                    body=_record(said),
                    example={"why": "wrong folder", "by": "Ada Lovelace"},
                    token=Scope.OPERATE,
                )
            },
            "/approvals": {
                "get": operation("What was held, and how the last move went", {200: "They."})
            },
            "/approvals/{id}": {
                "post": operation(
                    "Approve or reject a version that is held",
                    {**_MOVED, **_NONE},
                    body=_record(decision),
                    example={"decision": ALLOW, "why": "the errors are all on run 12"},
                    token=Scope.OPERATE,
                )
            },
            "/rollback": {
                "post": operation(
                    "Roll back the last release",
                    _MOVED,
                    body=_record(said),
                    example={"why": "too many parts were called worn"},
                    token=Scope.OPERATE,
                )
            },
            **_scoring(said),
            "/healthz": {
                "get": operation(
                    "Tell whether requests are given their runs",
                    {200: "They are.", 503: "They are not; the log says why."},
                )
            },
        },
    )


def _scoring(said: dict[str, Any]) -> dict[str, Any]:
    own = ScoringParameters.model_json_schema()
    own["properties"]["by"] = _TEXT
    limit = {"type": "integer", "minimum": 1, "maximum": MOST, "default": MOST}
    return {
        PATH: {
            "post": operation(
                "Score the recordings of a folder or a bucket, in a job",
                {202: "It is taken: its id.", **_REFUSED, 409: "There is no such folder."},
                body=own,
                example={"data": "s3://mill/night", "target": "s3://mill/verdicts/night"},
                token=Scope.OPERATE,
            ),
            "get": {
                **operation(
                    "The newest jobs, how far they are, and their verdicts",
                    {200: "They, the newest first.", **_FAULTY},
                ),
                "parameters": [{"name": "limit", "in": "query", "schema": limit}],
            },
        },
        f"{PATH}/{{id}}": {
            "get": operation("A job, how far it is, and its verdicts", {200: "It.", **_NONE})
        },
        f"{PATH}/{{id}}/verdicts": {
            "get": operation(
                "The verdicts of a job, one row a recording",
                {
                    200: "They, as Parquet.",
                    404: "There is no such job, or its verdicts are at its target alone.",
                    409: "The job has not succeeded; the sentence says how it is.",
                },
                kind=PARQUET,
            )
        },
        f"{PATH}/{{id}}/cancel": {
            "post": operation(
                "Cancel a job, whether it waits or is running",
                {202: "It is taken.", **_REFUSED, **_NONE, 409: "The job has ended."},
                body=_record(said),
                example={"why": "wrong folder", "by": "Ada Lovelace"},
                token=Scope.OPERATE,
            )
        },
    }


def _record(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}
