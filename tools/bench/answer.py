"""A process that holds one model and answers with how long it took. Runs on Python 3.9."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from tools.bench.measure import own_peak_mib, own_resident_mib

Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Answer:
    """How long each of several calls took, seconds, and what the last one returned.

    The peak is the highest since the process started, so it includes loading the model.
    """

    wall: list[float]
    cpu: list[float]
    probabilities: np.ndarray
    resident_mib: float
    peak_mib: float


def serve(connection: Connection, make: Callable[[Any], Predict], model: Any) -> None:
    """Answer (rows, calls) with an `Answer` until None comes."""
    predict = make(model)
    connection.send(None)
    while True:
        asked = connection.recv()
        if asked is None:
            return
        connection.send(timed(predict, *asked))


def timed(predict: Predict, rows: np.ndarray, calls: int) -> Answer:
    """Predict the same rows `calls` times."""
    wall, cpu = [], []
    for _ in range(calls):
        started, used = time.perf_counter(), time.process_time()
        probabilities = predict(rows)
        cpu.append(time.process_time() - used)
        wall.append(time.perf_counter() - started)
    return Answer(wall, cpu, probabilities, own_resident_mib(), own_peak_mib())


class Server:
    """A process of its own that holds a model; use as a context manager.

    Args:
        make: makes the prediction of the model, in that process.
        model: whatever travels there.
    """

    def __init__(self, make: Callable[[Any], Predict], model: Any) -> None:
        # Spawned, not forked: its memory is to hold this model and nothing else.
        context = get_context("spawn")
        self._connection, end = context.Pipe()
        self._process = context.Process(target=serve, args=(end, make, model))

    def __enter__(self) -> Server:
        self._process.start()
        self._connection.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.send(None)
        self._process.join()

    def ask(self, rows: np.ndarray, calls: int) -> Answer:
        """Return the answer for rows (rows, features)."""
        self._connection.send((rows, calls))
        answer: Answer = self._connection.recv()
        return answer


def graph(model: bytes) -> Predict:
    """Return the prediction of an ONNX graph, one thread."""
    from toolwear.model.onnx_model import OnnxModel

    return OnnxModel(model).predict_proba


def native(members: list[Any]) -> Predict:
    """Return the prediction of auto-sklearn's members, as its ensemble weighs them."""
    from toolwear.automl.export.ensemble import weighted_mean

    weights = [member.weight for member in members]
    return lambda rows: weighted_mean(weights, [member.probabilities(rows) for member in members])
