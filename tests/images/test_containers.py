"""The Docker runner: what a container ended with is what the run is told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from tests.images.engine import engine, image
from toolwear.cli import containers
from toolwear.cli.containers import Place, docker_runner, run_container
from toolwear.common import images
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import code_fingerprint
from toolwear.workspace import seal


@dataclass
class Container:
    """Ends with `code`, at once; gone as soon as it has ended if it was to remove itself."""

    code: int
    options: dict[str, Any]
    started: bool = False
    removed: bool = False

    def start(self) -> None:
        self.started = True
        self.removed = bool(self.options.get("auto_remove"))

    def _there(self) -> None:
        import docker

        if self.removed:
            raise docker.errors.NotFound("No such container")

    def logs(self, **_: Any) -> Iterator[bytes]:
        self._there()
        yield b"it says \xff\n"

    def wait(self) -> dict[str, int]:
        self._there()
        return {"StatusCode": self.code}

    def remove(self, **_: Any) -> None:
        self.removed = True


@dataclass
class Engine:
    """An engine as kfp and we call it, whose containers all end with `code`."""

    code: int
    made: list[Container] = field(default_factory=list)

    @property
    def containers(self) -> Engine:
        return self

    @property
    def images(self) -> Any:
        known = SimpleNamespace(tags=["some:image"], attrs={"RepoDigests": []})
        return SimpleNamespace(list=lambda: [known])

    def create(self, _image: str, _command: list[str], **options: Any) -> Container:
        self.made.append(Container(self.code, options))
        return self.made[-1]

    def run(self, image: str, command: list[str], **options: Any) -> Container:
        container = self.create(image, command, **options)
        container.start()
        return container


def test_kfp_itself_takes_a_container_that_failed_at_once_for_a_success() -> None:
    """If this fails, kfp has mended it, and the guard can go."""
    from kfp.local.docker_task_handler import run_docker_container

    assert run_docker_container(Engine(3), "some:image", ["false"], {}) == 0


@pytest.mark.parametrize("code", [0, 3])
def test_guard_returns_the_containers_own_code_and_removes_it(
    code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = Engine(code)
    assert run_container(fake, "some:image", ["false"], {}) == code
    (container,) = fake.made
    assert container.started
    assert container.removed
    assert "it says" in capsys.readouterr().out


def test_runner_is_guarded_and_locked_down_while_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kfp.local import docker_task_handler

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    theirs = docker_task_handler.run_docker_container
    events = tmp_path / "run" / "events"
    events.mkdir(parents=True)
    outputs = tmp_path / "run" / "artifacts"  # not there yet: the engine would make it as root's
    with docker_runner(Place(tmp_path, events, "/recordings")) as runner:
        arguments = dict(runner.container_run_args)
        arguments["environment"] = {"CODE": "of the task"}  # as kfp does, dropping the runner's
        fake = Engine(3)
        code = docker_task_handler.run_docker_container(
            client=fake,
            image="some:image",
            command=["false"],
            volumes={str(outputs): {}},
            **arguments,
        )
        assert code == 3
    assert docker_task_handler.run_docker_container is theirs
    options = fake.made[0].options
    assert options["environment"] == {
        "TOOLWEAR_HOME": str(tmp_path),
        "TOOLWEAR_EVENTS": str(events),
        "TOOLWEAR_SEAL_KEY": seal.own().text,
        "OMP_NUM_THREADS": "1",
        "CODE": "of the task",
    }
    assert options["read_only"]
    assert options["cap_drop"] == ["ALL"]
    assert options["network_mode"] == "none"
    assert not options["user"].startswith("0:")
    sources = {mount["Source"]: mount["ReadOnly"] for mount in options["mounts"]}
    assert sources == {str(tmp_path): False, "/recordings": True}
    if os.getuid() == 0:
        for folder in (events, outputs):
            assert folder.stat().st_uid == 65532, "its user could not write"


def _graph(folder: Path, name: str) -> Path:
    path = folder / "graph.yaml"
    executors = {"exec-step": {"container": {"image": name}}}
    path.write_text(yaml.safe_dump({"deploymentSpec": {"executors": executors}}))
    return path


def test_an_image_that_is_missing_or_of_other_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import docker

    labels = {images.CODE_LABEL: "other"}

    class Client:
        images = property(lambda self: self)

        def get(self, name: str) -> Any:
            if name == "missing:dev":
                raise docker.errors.ImageNotFound(name)
            return type("Image", (), {"labels": labels})

        def close(self) -> None:
            pass

    monkeypatch.setattr(docker, "from_env", Client)
    with pytest.raises(ToolwearError, match="no image missing:dev; run make images"):
        containers.require(_graph(tmp_path, "missing:dev"))
    with pytest.raises(ToolwearError, match="some:dev was built from other code"):
        containers.require(_graph(tmp_path, "some:dev"))
    labels[images.CODE_LABEL] = code_fingerprint()
    containers.require(_graph(tmp_path, "some:dev"))


def test_without_an_engine_a_run_says_so_and_leaves_with_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "toolwear.cli", "run", "--runner", "docker"]
    done = subprocess.run(
        [*command, "--home", str(tmp_path)],
        env={**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "No Docker engine answers" in done.stderr
    assert "Traceback" not in done.stderr


def test_real_containers_that_fail_at_once_are_all_seen_to_fail() -> None:
    with engine() as client:
        name = image(client, images.SERVING)
        command = ["sh", "-c", "echo gone; exit 3"]
        with ThreadPoolExecutor(4) as pool:
            codes = list(
                pool.map(
                    lambda _: run_container(client, name, command, {}, network_mode="none"),
                    range(12),
                )
            )
        assert codes == [3] * 12
        assert run_container(client, name, ["true"], {}, network_mode="none") == 0


@pytest.mark.parametrize("name", [images.PIPELINE, images.AUTOML, images.SERVING])
def test_a_user_whom_no_image_knows_has_a_name_all_the_same(name: str) -> None:
    """Whoever calls the runner without being root is one; MLflow writes the name down."""
    with engine() as client:
        command = ["python", "-c", "import getpass; assert getpass.getuser() == 'toolwear'"]
        options = {"user": "1234:1234", "network_mode": "none", "read_only": True}
        assert run_container(client, image(client, name), command, {}, **options) == 0
