"""A Kubeflow Pipelines that is not one, and the command line against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from typer.testing import CliRunner, Result

from tests.kubeflow.stub import Kubeflow, serving
from toolwear.cli.main import app
from toolwear.run.kubeflow import HOST_VARIABLE, TOKEN_VARIABLE

Command = Callable[..., Result]


@pytest.fixture
def kubeflow() -> Iterator[Kubeflow]:
    with serving() as stub:
        yield stub


@pytest.fixture
def kfp(kubeflow: Kubeflow, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return `toolwear kfp ...` against the stub; `--version` keeps git out of it."""
    monkeypatch.setenv(HOST_VARIABLE, kubeflow.url)
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    monkeypatch.delenv("TOOLWEAR_DATA", raising=False)

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["kfp", *arguments])

    return call
