"""Asks a server over gRPC with Triton's client and writes what it answered.

Usage: `python -m tests.serving.triton_grpc HOST:PORT ROWS.npy ANSWER.json`
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

MODEL, INPUT, OUTPUT = "toolwear", "features", "probabilities"  # as a client knows them


def tensor(name: str, rows: np.ndarray) -> InferInput:
    made = InferInput(name, list(rows.shape), "FP64")
    made.set_data_from_numpy(rows)
    return made


def ask(address: str, rows: np.ndarray) -> dict[str, Any]:
    with InferenceServerClient(address) as client:
        found = {
            "ready": client.is_model_ready(MODEL),
            "input": client.get_model_metadata(MODEL).inputs[0].name,
            "probabilities": client.infer(MODEL, [tensor(INPUT, rows)]).as_numpy(OUTPUT).tolist(),
            "refusal": "",
        }
        try:
            client.infer(MODEL, [tensor("other", rows)])
        except InferenceServerException as error:
            found["refusal"] = str(error)
    return found


if __name__ == "__main__":
    address, asked, answered = sys.argv[1:]
    Path(answered).write_text(json.dumps(ask(address, np.load(asked))))
