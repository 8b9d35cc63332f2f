"""JSON schemas of the V1 and V2 protocols, as `serving.common.wire` and `.matrix` read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from toolwear.common.request_limits import ROWS
from toolwear.model.onnx_model import INPUT

_STRING: dict[str, Any] = {"type": "string"}
_SHAPE: dict[str, Any] = {"type": "array", "items": {"type": "integer"}}
_ROWS: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": ROWS}
_TYPES: dict[str, Any] = {"enum": ["FP64", "BYTES", "BOOL"]}
LENGTH_HEADER: dict[str, Any] = {
    "name": "inference-header-content-length",
    "in": "header",
    "description": "bytes of the JSON, if binary tensors stand behind it",
    "schema": {"type": "string", "pattern": "^[0-9]{1,9}$"},
}
_SPECIFICATION: dict[str, Any] = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {"name": _STRING, "datatype": _TYPES, "shape": _SHAPE},
    "additionalProperties": False,
}
METADATA: dict[str, Any] = {
    "type": "object",
    "required": ["name", "platform", "inputs", "outputs"],
    "properties": {
        "name": _STRING,
        "platform": _STRING,
        "versions": {"type": "array", "items": _STRING},
        "inputs": {"type": "array", "items": _SPECIFICATION},
        "outputs": {"type": "array", "items": _SPECIFICATION},
        "parameters": {"type": "object", "description": "which model this is"},
    },
    "additionalProperties": False,
}
ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["id", "model_name", "model_version", "outputs"],
    "properties": {
        "id": _STRING,
        "model_name": _STRING,
        "model_version": _STRING,
        "parameters": {"type": "object", "additionalProperties": _STRING},
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "datatype", "shape", "data"],
                "properties": {
                    "name": _STRING,
                    "datatype": _TYPES,
                    "shape": _SHAPE,
                    "data": {
                        "type": "array",
                        "items": {"type": ["number", "string", "boolean", "null"]},
                    },
                },
            },
        },
    },
    "additionalProperties": False,
}


def instances(*rows: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a V1 request: a list of rows, all of one of these kinds."""
    kinds = [rows_of(row) for row in rows]
    return {
        "type": "object",
        "required": ["instances"],
        "properties": {"instances": kinds[0] if len(kinds) == 1 else {"anyOf": kinds}},
    }


def rows_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a list of rows."""
    return {"type": "array", "items": row, "minItems": 1, "maxItems": ROWS}


def request(inputs: dict[str, Any], outputs: tuple[str, ...]) -> dict[str, Any]:
    """Return the schema of a V2 request with these inputs, for some or all of these outputs."""
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": _STRING,
            "parameters": _parameters(binary_data_output={"type": "boolean"}),
            "inputs": inputs,
            "outputs": {
                "type": ["array", "null"],
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": {"enum": list(outputs)},
                        "parameters": _parameters(binary_data={"type": "boolean"}),
                    },
                },
            },
        },
    }


def matrix_input(columns: int) -> dict[str, Any]:
    """Return the schema of the one input with a column for each feature."""
    number = {"type": "number"}
    shape = {
        "type": "array",
        "prefixItems": [_ROWS, {"const": columns}],
        "minItems": 2,
        "maxItems": 2,
    }
    row = {"type": "array", "items": number, "minItems": columns, "maxItems": columns}
    data = {
        "description": "flat or by rows",
        "anyOf": [{"type": "array", "items": number}, {"type": "array", "items": row}],
    }
    tensor = _tensor([INPUT], ["FP64"], shape, data)
    # JSON Schema cannot say that the shape counts the data; for one row it can be written down.
    one = {"const": [1, columns]}
    single = _tensor([INPUT], ["FP64"], one, row, ["data"])
    single["properties"]["parameters"] = {"type": "null"}
    kinds = {"anyOf": [{"title": "One row", **single}, {"title": "Rows", **tensor}]}
    return {"type": "array", "items": kinds, "minItems": 1, "maxItems": 1}


def column_inputs(texts: tuple[str, ...], numbers: tuple[str, ...]) -> dict[str, Any]:
    """Return the schema of inputs that are a column each."""
    shape = {
        "type": "array",
        "prefixItems": [_ROWS, {"const": 1}],
        "minItems": 1,
        "maxItems": 2,
    }
    data = {"type": "array", "description": "[rows] or [rows, 1]"}
    kinds = [_tensor(list(texts), ["BYTES"], shape, data)]
    kinds.append(_tensor(list(numbers), ["FP64"], shape, data))
    return {"type": "array", "items": {"anyOf": kinds}, "minItems": 1}


def _tensor(
    names: list[str],
    types: list[str],
    shape: dict[str, Any],
    data: dict[str, Any],
    where: Sequence[str] = ("data", "parameters"),
) -> dict[str, Any]:
    """Return the schema of a tensor; `where` are the keys of which one says where its data are."""
    size = {"type": "integer", "minimum": 0, "description": "bytes behind the JSON"}
    return {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"enum": names},
            "datatype": {"enum": types},
            "shape": shape,
            "data": data,
            "parameters": _parameters(binary_data_size=size),
        },
        "anyOf": [{"required": [key]} for key in where],
    }


def _parameters(**known: dict[str, Any]) -> dict[str, Any]:
    return {"type": ["object", "null"], "properties": known}
