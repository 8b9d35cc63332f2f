"""What somebody who may write to the home gets from the servers that read it: only refusals."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.feast_attacks import plant
from tests.serving.conftest import MODEL, environment
from tests.serving.stack import Place, Stack, expected, running, wait_for
from toolwear.common.fingerprint import ROOT
from toolwear.features.store import HOME_FOLDER, publish_online
from toolwear.release import champion as pointer
from toolwear.release.registry import CHAMPION, COMPLETE, PACKAGE, Registry
from toolwear.workspace import seal
from toolwear.workspace.home import Home

Attack = Callable[[Place, Path], str]
V1 = f"/v1/models/{MODEL}:predict"
RUN = {"instances": [{"run_id": "07"}]}
NO_STORE = {"error": "The feature store does not answer at the moment; try again."}


@pytest.fixture
def own(place: Place, tmp_path: Path) -> Place:
    """A home of the test's own, to change."""
    home = tmp_path / "home"
    shutil.copytree(place.home, home, symlinks=True)
    own = replace(place, home=home)
    # A log of its own: that of a copy which is gone would be known to go on further.
    Home(home).records.unlink(missing_ok=True)
    own.point(0)
    return own


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


def elsewhere(own: Place, tmp_path: Path) -> str:
    """Point to a copy of the package outside of the home."""
    outside = tmp_path / "outside" / own.packages[0].digest
    shutil.copytree(own.packages[0].folder, outside)
    pointer.write(own.home, replace(own.champion(0), package=str(outside)))
    return f"Version 1 is to be served from {outside}, and its package has to be in"


def climbing(own: Place, tmp_path: Path) -> str:
    elsewhere(own, tmp_path)
    relative = f"../outside/{own.packages[0].digest}"
    pointer.write(own.home, replace(own.champion(0), package=relative))
    return f"Version 1 is to be served from {relative}, and its package has to be in"


def linked(own: Place, tmp_path: Path) -> str:
    """Put a link to a copy outside in the package's place."""
    folder = own.home / "packages" / own.packages[0].digest
    outside = tmp_path / "outside"
    shutil.move(folder, outside)
    folder.symlink_to(outside)
    return "without a link on the way"


def another_version(own: Place, _tmp_path: Path) -> str:
    """Point to another version of this home, which nobody has promoted."""
    pointer.write(own.home, own.champion(1))
    return f"champion.json names version 2 (package {own.packages[1].version}), the audit log names"


def another_package(own: Place, _tmp_path: Path) -> str:
    pointer.write(own.home, replace(own.champion(1), version="1"))
    return f"champion.json names version 1 (package {own.packages[1].version}), the audit log names"


def no_log(own: Place, _tmp_path: Path) -> str:
    Home(own.home).records.unlink()
    return "was changed: it is gone or emptied, and "


def moved_with_another_key(own: Place, _tmp_path: Path) -> str:
    """Put a move on the log, with a key that only the attacker has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(seal.KEY_VARIABLE, "k" * 48)
        own.point(1)
    return "the last to name a champion, is not served: The audit log of"


def registry_edited(own: Place, _tmp_path: Path) -> str:
    registry = Registry(Home(own.home), "", MODEL)
    registry.client.create_registered_model(MODEL)
    for package in own.packages[:2]:
        tags = {PACKAGE: package.digest, COMPLETE: "true"}
        registry.client.create_model_version(MODEL, package.folder.as_uri(), tags=tags)
    registry.client.set_registered_model_alias(MODEL, CHAMPION, "2")
    return (
        f"the registry names version 2 (package {own.packages[1].version}): the registry differs, "
        "so it is not served; `toolwear reconcile --why ...` keeps what champion.json names"
    )


def tag_edited(own: Place, tmp_path: Path) -> str:
    registry_edited(own, tmp_path)
    registry = Registry(Home(own.home), "", MODEL)
    registry.client.set_registered_model_alias(MODEL, CHAMPION, "1")
    registry.client.set_model_version_tag(MODEL, "1", PACKAGE, own.packages[1].digest)
    return f"the registry names version 1 (package {own.packages[1].version}): the registry differs"


def endless_registry(own: Place, _tmp_path: Path) -> str:
    """Give the registry's database a view that never ends."""
    with closing(sqlite3.connect(Home(own.home).database)) as database:
        database.execute(
            "CREATE VIEW registered_model_aliases AS WITH RECURSIVE n(i) AS "
            "(SELECT 1 UNION ALL SELECT i + 1 FROM n) "
            "SELECT i AS version, 'x' || i AS name, 'x' || i AS alias FROM n"
        )
        database.execute("CREATE TABLE model_version_tags (name, version, key, value)")
    return "can't be read (interrupted)"


def a_device(own: Place, _tmp_path: Path) -> str:
    """Put a link to a device in the place of the package's model."""
    model = own.home / "packages" / own.packages[0].digest / "model.onnx"
    model.parent.chmod(0o755)
    model.unlink()
    model.symlink_to("/dev/zero")
    return "model.onnx can't be read: it is a link"


def a_pipe(own: Place, _tmp_path: Path) -> str:
    path = pointer.path(own.home)
    path.unlink()
    os.mkfifo(path)
    return "champion.json can't be read: it is not a regular file"


def endless(own: Place, _tmp_path: Path) -> str:
    os.truncate(pointer.path(own.home), 1 << 40)
    return "champion.json can't be read: it is longer than 67,108,864 bytes"


ATTACKS = (
    elsewhere,
    climbing,
    linked,
    another_version,
    another_package,
    no_log,
    moved_with_another_key,
    registry_edited,
    tag_edited,
    endless_registry,
    a_device,
    a_pipe,
    endless,
)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("server", ["predictor", "explainer"])
def test_a_server_that_starts_on_a_forged_champion_says_what_differs_and_serves_nothing(
    own: Place, tmp_path: Path, attack: Attack, server: str
) -> None:
    said = attack(own, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", f"serving.{server}", "--home", str(own.home)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert said in done.stderr


@pytest.mark.parametrize(
    "attack", [elsewhere, another_version, another_package, moved_with_another_key, a_pipe]
)
def test_a_server_at_work_keeps_what_it_serves(own: Place, tmp_path: Path, attack: Attack) -> None:
    with running(own, tmp_path) as stack:
        said = attack(own, tmp_path)
        wait_for(lambda: said in stack.predictor.log.read_text())
        receipt = ask(stack).json()["receipt"]
        assert (receipt["version"], receipt["package_digest"]) == ("1", own.packages[0].digest)
        own.point(1)
        wait_for(lambda: ask(stack).json()["receipt"]["version"] == "2")
