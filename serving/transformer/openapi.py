"""The transformer's OpenAPI document."""

from __future__ import annotations

from typing import Any

from serving.common import openapi, row_schemas, tensor_schemas
from serving.common.openapi import BODY_ERRORS, BOOLEAN, NUMBER, STRING, array, record
from serving.common.rows import TIMESTAMP, RawColumns
from serving.transformer.answer import OUTPUTS, UNSURE
from serving.transformer.scoring import ANY, CSV, PARQUET, ROWS_ASKED, TYPES
from toolwear.common.request_limits import SCORE_ANSWERED_ROWS
from toolwear.dataset import schema
from toolwear.model.abstention import VERDICTS
from toolwear.workspace.tokens import Scope

LABELS_PATH = "/v1/labels"
SCORE_ROUTE = "/v1/models/{model:model}:score"
EXAMPLE_RECEIPT = "3f2b8c1e-0d7a-4b8e-9a55-1f0c2d3e4f5a"  # of an answer with one row
_ERRORS = (*BODY_ERRORS, 422, 504)


def document(model: str, raw: RawColumns) -> dict[str, Any]:
    """Return the document.

    Args:
        model: its name in the URLs.
        raw: the columns of a raw row.
    """
    texts = (schema.RUN_ID, TIMESTAMP, *raw.texts)
    headers = (
        openapi.REQUEST_ID_HEADER,
        openapi.RECORDING_ID_HEADER,
        openapi.MACHINE_ID_HEADER,
        openapi.IDEMPOTENCY_HEADER,
    )
    identifier = {"type": "string", "pattern": openapi.ID_PATTERN}
    labels = record(
        {"receipt": identifier, "worn": array(BOOLEAN, 1), "source": identifier}, ["source"]
    )
    taken = record({"receipt": identifier, "rows": {"type": "integer", "minimum": 1}})
    return openapi.document(
        "transformer",
        model,
        {
            f"{openapi.MODEL_PATH}:predict": openapi.post(
                "Ask about telemetry rows or runs",
                tensor_schemas.instances(row_schemas.raw(raw), row_schemas.ENTITY),
                _answer(schema.CLASSES),
                _ERRORS,
                headers,
                example={"instances": [{schema.RUN_ID: row_schemas.EXAMPLE_RUN}]},
            ),
            f"{openapi.MODEL_PATH}:score": _score(raw),
            f"{openapi.MODEL_PATH}:explain": openapi.refused("Not here: ask the explainer"),
            "/v2/models/{model}/infer": openapi.infer(
                tensor_schemas.column_inputs(texts, raw.numbers),
                tuple(output["name"] for output in OUTPUTS),
                {
                    "name": schema.RUN_ID,
                    "datatype": "BYTES",
                    "shape": [1],
                    "data": [row_schemas.EXAMPLE_RUN],
                },
                _ERRORS,
                headers,
            ),
            LABELS_PATH: openapi.post(
                "Tell what became known later of the rows of an answer",
                labels,
                taken,
                (400, 401, 403, 408, 413, 415, 422, 429, 500, 503),
                example={"receipt": EXAMPLE_RECEIPT, "worn": [True], "source": "inspector"},
                token=Scope.LABEL,
            ),
        },
    )


def _score(raw: RawColumns) -> dict[str, Any]:
    settings = raw.dataset.settings
    share = {"type": "number", "minimum": 0, "maximum": 1}
    count = {"type": "integer", "minimum": 0}
    setting = {"type": "number", "exclusiveMinimum": 0}
    said = {"enum": list(VERDICTS.values())}
    row = {
        schema.ROW: count,
        "verdict": said,
        "probability": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "reason": STRING,
    }
    verdict = record(
        {
            "recording": {"type": ["string", "null"]},
            "verdict": said,
            **dict.fromkeys(VERDICTS.values(), share),
            "judged_rows": count,
            "rows": count,
            **dict.fromkeys(settings, setting),
            "restored_order": BOOLEAN,
            "not_sure_because": {"type": "object", "additionalProperties": count},
            "warnings": array(STRING),
            "model": STRING,
            "version": STRING,
            "package": openapi.DIGEST,
            "use": STRING,
            "answers": array(record(row), most=SCORE_ANSWERED_ROWS),
        },
        ["answers"],
    )
    asked = [
        {
            "name": name,
            "in": "query",
            "required": True,
            "schema": setting,
            "description": f"in {one.unit}" if one.unit else one.title,
            "example": 1 if one.low is None else max(1, one.low),
        }
        for name, one in settings.items()
    ]
    asked.append(
        {
            "name": ROWS_ASKED,
            "in": "query",
            "description": f"whether each row's answer is wanted, of at most {SCORE_ANSWERED_ROWS}",
            "schema": BOOLEAN,
        }
    )
    operation = openapi.post(
        "Score a recording: one verdict for the file that is the body",
        STRING,
        verdict,
        (*_ERRORS, 429),
        (*asked, openapi.REQUEST_ID_HEADER, openapi.RECORDING_ID_HEADER),
    )
    dataset = raw.dataset
    values = [
        *map(str, range(len(dataset.signals))),
        *(dataset.phases.names[-1] for _ in raw.texts),
    ]
    example = [",".join(dataset.in_files), *[",".join(values)] * 2]
    bodies: dict[str, dict[str, Any]] = {
        kind: {"schema": {} if kind in (PARQUET, ANY) else STRING} for kind in TYPES
    }
    bodies[CSV]["example"] = "\n".join(example)
    operation["post"]["requestBody"]["content"] = bodies
    return operation


def _answer(classes: tuple[str, str]) -> dict[str, Any]:
    prediction = record(
        {
            "label": {"enum": [*classes, None]},
            "probability": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
            "verdict": {"enum": [*classes, UNSURE]},
            "reasons": array(STRING),
        }
    )
    origin = record(
        {
            "timestamp": {"type": ["string", "null"], "format": "date-time"},
            "age_seconds": {"anyOf": [NUMBER, {"type": "null"}]},
            "stale": BOOLEAN,
        }
    )
    receipt = {
        "id": {"type": "string", "pattern": openapi.ID_PATTERN},
        "request_id": {"type": ["string", "null"]},
        "recording": {"type": ["string", "null"]},
        "model": STRING,
        **openapi.PROOF,
        "features": array(origin, 1),
        "answered_at": {"type": "string", "format": "date-time"},
    }
    return record({"predictions": array(prediction, 1), "receipt": record(receipt)})
