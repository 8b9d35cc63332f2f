"""How long MLflow is waited for, and what becomes of a run that it does not answer: it goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from toolwear.common.steps import report

_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
_SHOWN = 300  # characters of an error


@contextmanager
def impatient() -> Iterator[None]:
    """Let MLflow's client give up soon while the block runs: by itself it tries for minutes."""
    before = {name: os.environ.get(name) for name in _PATIENCE}
    os.environ.update(_PATIENCE)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def going_on(what: str) -> Iterator[None]:
    """Let nothing that MLflow's server does, or does not do, end a run.

    Args:
        what: MLflow is then not told, in words that a sentence can end with.
    """
    try:
        with impatient():
            yield
    except Exception as error:  # noqa: BLE001 - of whichever library keeps runs or artifacts there
        told = (str(error).splitlines() or [""])[0][:_SHOWN]
        report(f"the run goes on, but MLflow was not told {what} ({type(error).__name__}: {told})")
