"""Docker's engine for the tests: the one that answers, or none."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pytest

# "1" where an engine was started for the tests, as .ci/images does: then none may be skipped.
REQUIRE = "TOOLWEAR_REQUIRE_ENGINE"


@contextlib.contextmanager
def engine() -> Iterator[Any]:
    """Yield a client of the engine; without one the test is skipped, or fails where it must run."""
    import docker

    try:
        client = docker.from_env()
    except docker.errors.DockerException as error:
        sentence = f"no Docker engine answers: {error}"
        if os.environ.get(REQUIRE) == "1":
            pytest.fail(sentence)
        pytest.skip(sentence)
    with contextlib.closing(client):
        yield client


def image(client: Any, name: str) -> str:
    """Return the name of an image that the engine has; else skip or fail as `engine` does."""
    import docker

    try:
        client.images.get(name)
    except docker.errors.ImageNotFound:
        if os.environ.get(REQUIRE) == "1":
            pytest.fail(f"{name} is not built: make images")
        pytest.skip(f"{name} is not built: make images")
    return name
