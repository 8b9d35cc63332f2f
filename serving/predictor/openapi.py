"""The predictor's OpenAPI document."""

from __future__ import annotations

from typing import Any

from serving.common import openapi, tensor_schemas
from toolwear.model.abstention import ANSWERS
from toolwear.model.onnx_model import INPUT


def document(
    model: str, features: tuple[str, ...], outputs: tuple[str, ...], example: list[float]
) -> dict[str, Any]:
    """Return the predictor's document.

    Args:
        model: its name in the URLs.
        features: of the model.
        outputs: names of V2's output tensors.
        example: a row of features.
    """
    columns = len(features)
    tensor = {"name": INPUT, "datatype": "FP64", "shape": [1, columns], "data": example}
    row = {**openapi.array(openapi.NUMBER, columns, columns), "description": ", ".join(features)}
    prediction = openapi.record(
        {
            "answer": {"enum": list(ANSWERS)},
            "probabilities": openapi.array({"type": "number", "minimum": 0, "maximum": 1}, 2, 2),
            "reason": openapi.STRING,
        }
    )
    answer = openapi.record(
        {
            "model_version": openapi.STRING,
            **openapi.PROOF,
            "predictions": openapi.array(prediction, 1),
        }
    )
    return openapi.document(
        "predictor",
        model,
        {
            f"{openapi.MODEL_PATH}:predict": openapi.post(
                "Ask the model about rows of features",
                tensor_schemas.instances(row),
                answer,
                example={"instances": [example]},
            ),
            f"{openapi.MODEL_PATH}:explain": openapi.refused("Not here: ask the explainer"),
            f"{openapi.V2_PATH}/infer": openapi.infer(
                tensor_schemas.matrix_input(columns), outputs, tensor, openapi.BODY_ERRORS
            ),
        },
    )
