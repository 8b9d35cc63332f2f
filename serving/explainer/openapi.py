"""The explainer's OpenAPI document."""

from __future__ import annotations

import json
from typing import Any

from serving.common import openapi, row_schemas
from serving.common.openapi import BODY_ERRORS, array, record
from serving.common.rows import RawColumns
from serving.explainer.question import LARGEST_SEED
from toolwear.common.request_limits import ROWS
from toolwear.dataset import schema
from toolwear.explain.registry import METHODS, MOST_SAMPLES, SHAP

SCHEMA_PATH = "/v1/explanations/schema"
_SCHEMAS = "#/components/schemas/"
_DEFINITIONS = "#/$defs/"


def document(
    model: str,
    features: tuple[str, ...],
    raw: RawColumns,
    history: bool,
    envelope: dict[str, Any],
) -> dict[str, Any]:
    """Return the document.

    Args:
        model: its name in the URLs.
        features: of the model that is explained.
        raw: the columns of a raw row.
        history: whether it needs the raw rows that lead up to the one that is explained.
        envelope: JSON schema of an explanation.
    """
    rows = [array(row, 1, 1) for row in (row_schemas.ENTITY, *row_schemas.features(features))]
    rows.append(array(row_schemas.raw(raw), 1, ROWS if history else 1))
    whole = [name for name, method in METHODS.items() if method.whole]
    others = [name for name in METHODS if name not in whole and name != SHAP]
    instances = {"anyOf": rows}
    samples = {"type": ["integer", "null"], "minimum": 2, "maximum": MOST_SAMPLES}
    nothing = {"type": ["array", "null"], "maxItems": 0}
    absent = {"type": "null"}
    questions = [
        _question([SHAP], instances, samples),
        _question(others, instances, absent),
        _question(whole, nothing, absent, needs_rows=False),
    ]
    explain = openapi.post(
        "Explain a prediction, or the model as a whole",
        {"oneOf": questions},
        {"$ref": f"{_SCHEMAS}Explanation"},
        (*BODY_ERRORS, 422, 429, 504),
        (openapi.REQUEST_ID_HEADER,),
        example={"instances": [{schema.RUN_ID: row_schemas.EXAMPLE_RUN}], "method": SHAP},
    )
    return openapi.document(
        "explainer",
        model,
        {
            f"{openapi.MODEL_PATH}:explain": explain,
            f"{openapi.MODEL_PATH}:predict": openapi.refused("Not here: ask the transformer"),
            "/v2/models/{model}/infer": openapi.refused("Not here: ask the transformer"),
            SCHEMA_PATH: openapi.get("JSON schema of an explanation", {"type": "object"}),
        },
        _moved(envelope),
    )


def _moved(envelope: dict[str, Any]) -> dict[str, Any]:
    """Return the envelope's schema and its definitions as schemas of an OpenAPI document."""
    text = json.dumps(envelope).replace(f'"{_DEFINITIONS}', f'"{_SCHEMAS}')
    found: dict[str, Any] = json.loads(text)
    definitions: dict[str, Any] = found.pop("$defs")
    own = {key: value for key, value in found.items() if key not in ("$schema", "$id")}
    return {**definitions, "Explanation": own}


def _question(
    methods: list[str],
    instances: dict[str, Any],
    samples: dict[str, Any],
    needs_rows: bool = True,
) -> dict[str, Any]:
    return record(
        {
            "method": {"enum": methods},
            "instances": instances,
            "seed": {"type": "integer", "minimum": 0, "maximum": LARGEST_SEED, "default": 0},
            "samples": samples,
            "package_digest": {
                "type": ["string", "null"],
                "description": "refuse to explain another model than this one",
            },
        },
        ["seed", "samples", "package_digest", *([] if needs_rows else ["instances"])],
    )
