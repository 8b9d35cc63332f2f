"""Parts that are killed or taken away under load: right answers or clean 503s, then service."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.ports import free_port
from tests.programs import program
from tests.serving.conftest import MODEL
from tests.serving.stack import Place, Server, expected, is_ready, running, wait_for
from tests.serving.test_transformer import under_load
from toolwear.features.feast_folder import REDIS
from toolwear.features.store import HOME_FOLDER, publish_online

V1 = f"/v1/models/{MODEL}:predict"
NO_STORE = {"error": "The feature store does not answer at the moment; try again."}
ASK = {"instances": [{"run_id": "07"}]}


def check(answers: list[httpx.Response], right: float, place: Place) -> None:
    """See to it that there were right answers at both ends, clean 503s between, nothing else."""
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 503}
    assert statuses[0] == statuses[-1] == 200
    for answer in answers:
        if answer.status_code == 200:
            assert answer.json()["predictions"][0]["probability"] == right
            assert answer.json()["receipt"]["package_digest"] == place.packages[0].digest
        else:
            assert answer.json() == NO_STORE


def status(url: str) -> int:
    return httpx.post(url + V1, json=ASK, timeout=10).status_code


@contextmanager
def redis_at(port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run Redis, with its data in `folder` written through at once."""
    command = [program("redis-server"), "--bind", "127.0.0.1", "--port", str(port)]
    with (folder / "redis.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--dir", str(folder), "--appendonly", "yes", "--appendfsync", "always"],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_store_taken_away_under_load_costs_clean_503s_and_comes_back(
    place: Place, tmp_path: Path
) -> None:
    place.point(0)
    current = place.home / HOME_FOLDER / "current"
    away = current.with_name("away")
    with running(place, tmp_path) as stack:

        def take_away_and_bring_back() -> None:
            time.sleep(0.3)
            current.rename(away)
            try:
                wait_for(lambda: status(stack.transformer.url) == 503)
            finally:
                away.rename(current)
            wait_for(lambda: status(stack.transformer.url) == 200)
            time.sleep(0.3)

        answers = under_load(stack.transformer.url, take_away_and_bring_back)
    check(answers, expected(place.home, place.packages[0], "07"), place)
    assert "Traceback" not in stack.transformer.log.read_text()


def test_redis_killed_under_load_costs_clean_503s_and_comes_back(
    place: Place, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The home has no SQLite store: what is answered can come from Redis only."""
    port = free_port()
    monkeypatch.setenv(REDIS, f"127.0.0.1:{port}")
    home = tmp_path / "home"
    home.mkdir()
    shutil.copytree(place.home / "packages", home / "packages")
    ours = replace(place, home=home)
    ours.point(0)
    right = expected(place.home, place.packages[0], "07")
    with ExitStack() as until_the_end:
        first = until_the_end.enter_context(redis_at(port, tmp_path))
        wait_for(lambda: b"Ready to accept" in (tmp_path / "redis.log").read_bytes())
        publish_online(features, home)
        assert not (home / HOME_FOLDER / "current" / "online.db").exists()
        stack = until_the_end.enter_context(running(ours, tmp_path))

        def kill_and_bring_back() -> None:
            time.sleep(0.3)
            first.kill()
            first.wait()
            wait_for(lambda: status(stack.transformer.url) == 503)
            until_the_end.enter_context(redis_at(port, tmp_path))
            wait_for(lambda: status(stack.transformer.url) == 200)
            time.sleep(0.3)

        answers = under_load(stack.transformer.url, kill_and_bring_back)
        unknown = {"instances": [{"run_id": "no-such-run"}]}
        assert httpx.post(stack.transformer.url + V1, json=unknown).status_code == 422
    check(answers, right, ours)
    assert "Traceback" not in stack.transformer.log.read_text()


def test_an_explainer_killed_under_load_comes_back_with_the_same_answer(
    place: Place, tmp_path: Path
) -> None:
    place.point(0)
    explainer = Server("serving.explainer", tmp_path / "log", ["--home", str(place.home)])
    question = {**ASK, "method": "shap", "seed": 0}
    ask: Callable[[], httpx.Response] = lambda: httpx.post(  # noqa: E731
        f"{explainer.url}/v1/models/{MODEL}:explain", json=question, timeout=30
    )
    try:
        explainer.start()
        before = ask()
        assert before.status_code == 200
        explainer.kill()
        with pytest.raises(httpx.ConnectError):
            ask()
        explainer.start(ready=False)
        seen: list[httpx.Response] = []
        while not is_ready(explainer.url):
            try:
                seen.append(ask())
            except httpx.TransportError:
                time.sleep(0.05)
        # While it warms up it says so; it never answers otherwise than it did.
        assert {answer.status_code for answer in seen} <= {200, 503}
        for answer in [*seen, ask()]:
            if answer.status_code == 200:
                assert answer.json()["data"] == before.json()["data"]
            else:
                assert set(answer.json()) == {"error"}
        assert ask().status_code == 200
        assert explainer.stop() == 0
    finally:
        if explainer.process is not None and explainer.process.poll() is None:
            explainer.kill()
