"""What somebody who may write to the home gets from the servers that read it: only refusals."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from components.features.store import HOME_FOLDER, publish_online
from tests.feast_attacks import plant
from tests.serving.conftest import MODEL
from tests.serving.stack import Place, Stack, expected, running

V1 = f"/v1/models/{MODEL}:predict"
RUN = {"instances": [{"run_id": "07"}]}
NO_STORE = {"error": "The feature store does not answer at the moment; try again."}


@pytest.fixture
def own(place: Place, tmp_path: Path) -> Place:
    """A home of the test's own, to change."""
    home = tmp_path / "home"
    shutil.copytree(place.home, home, symlinks=True)
    own = replace(place, home=home)
    own.point(0)
    return own


@pytest.fixture
def stack(own: Place, tmp_path: Path) -> Iterator[Stack]:
    with running(own, tmp_path) as found:
        yield found


def ask(stack: Stack) -> httpx.Response:
    return httpx.post(stack.transformer.url + V1, json=RUN, timeout=30)


def test_code_in_a_registry_of_features_is_named_in_the_log_and_never_run(
    own: Place, features: Path, tmp_path: Path
) -> None:
    """At the start of a server, while it runs, and after the publication that mends it."""
    mark = tmp_path / "mark"
    current = own.home / HOME_FOLDER / "current"
    said = plant(current, "on-demand view", mark)
    with running(own, tmp_path) as stack:
        log = stack.transformer.log
        assert said in log.read_text()
        answer = ask(stack)
        assert (answer.status_code, answer.json()) == (503, NO_STORE)
        publish_online(features, own.home)
        answer = ask(stack)
        right = expected(own.home, own.packages[0], "07")
        assert answer.json()["predictions"][0]["probability"] == right
        said = plant(current, "stream view", mark)
        (current / "complete.views").touch()  # as if it had been published anew
        assert ask(stack).status_code == 503
        assert said in log.read_text()
    assert not mark.exists()
