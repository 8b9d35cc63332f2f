"""kfp.local's Docker runner, made safe: steps run as containers of the images that a cluster runs.

Three things of kfp 2.17's own are mended here. A container that fails at once was reported as a
success, because it had removed itself before it was asked for its exit code. The environment of
the runner was dropped for every task that has variables of its own, as all of ours have. And the
folders for outputs belong to whoever calls, so that an image's own user could not write them.
"""

from __future__ import annotations

import contextlib
import enum
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from toolwear.common import images
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import code_fingerprint
from toolwear.common.steps import EVENTS_FOLDER
from toolwear.release.tracking import RUN_VARIABLE
from toolwear.workspace import seal
from toolwear.workspace.home import HOME_VARIABLE

# Of the user in every image; see tools/images.
_NOBODY = 65532
_BUILD = "run make images"
# Variables of ours that a step obeys wherever it runs.
_HANDED_ON = ("OMP_NUM_THREADS", RUN_VARIABLE)


class Runner(enum.StrEnum):
    """What a step of a local run runs as."""

    SUBPROCESS = "subprocess"
    DOCKER = "docker"


@dataclass(frozen=True)
class Place:
    """What of this machine the containers see, at the same paths.

    Attributes:
        home: the system's folder, which steps write.
        events: where steps tell what they do; below `home`.
        data: folder of the recordings, which they only read; empty: none.
    """

    home: Path
    events: Path
    data: str


def require(graph: Path) -> None:
    """See that the engine answers and has each image of the graph, made from this very code.

    Raises:
        ToolwearError: it does not.
    """
    try:
        import docker
    except ImportError:
        raise ToolwearError("The Docker runner needs the docker package; run make setup.") from None

    spec = next(yaml.safe_load_all(graph.read_text(encoding="utf-8")))
    executors = spec["deploymentSpec"]["executors"].values()
    wanted = {executor["container"]["image"] for executor in executors}
    try:
        client = docker.from_env()
    except docker.errors.DockerException as error:
        raise ToolwearError(f"No Docker engine answers ({error}); start one.") from None
    with contextlib.closing(client):
        for name in sorted(wanted):
            try:
                labels = client.images.get(name).labels
            except docker.errors.ImageNotFound:
                raise ToolwearError(f"There is no image {name}; {_BUILD}.") from None
            if labels.get(images.CODE_LABEL) != code_fingerprint():
                raise ToolwearError(f"The image {name} was built from other code; {_BUILD}.")


@contextlib.contextmanager
def docker_runner(place: Place) -> Iterator[Any]:
    """Yield a runner for `kfp.local.init`; while it is in use, kfp's own way to run is replaced."""
    from docker.types import Mount
    from kfp import local
    from kfp.local import docker_task_handler

    mounts = [Mount(str(place.home), str(place.home), type="bind")]
    if place.data:
        mounts.append(Mount(place.data, place.data, type="bind", read_only=True))
    environment = {HOME_VARIABLE: str(place.home), EVENTS_FOLDER: str(place.events)}
    # A container has no folder of the user's: it seals with the key that is here.
    seal.own()
    environment[seal.KEY_VARIABLE] = " ".join(key.text for key in seal.known().values())
    environment |= {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    root = os.getuid() == 0
    runner = local.DockerRunner(
        user=f"{_NOBODY}:{_NOBODY}" if root else f"{os.getuid()}:{os.getgid()}",
        mounts=mounts,
        read_only=True,
        tmpfs={"/tmp": "rw,exec"},  # noqa: S108 - the container's own
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        init=True,
        # Recordings that are here need no network; Kaggle's do.
        network_mode="none" if place.data else "bridge",
    )

    def run(client: Any, image: str, command: list[str], volumes: Any, **arguments: Any) -> int:
        for folder in volumes:
            # The engine would make it, as root.
            Path(folder).mkdir(parents=True, exist_ok=True)
        if root:
            _hand_over(place.home)
        own = arguments.pop("environment", None) or {}
        return run_container(
            client, image, command, volumes, environment={**environment, **own}, **arguments
        )

    theirs = docker_task_handler.run_docker_container
    docker_task_handler.run_docker_container = run
    try:
        yield runner
    finally:
        docker_task_handler.run_docker_container = theirs


def run_container(
    client: Any, image: str, command: list[str], volumes: Any, **arguments: Any
) -> int:
    """Run a container to its end, print what it says, and return its own exit code.

    It is removed only after it was asked, so its code is never guessed.
    """
    container = client.containers.create(image, command, volumes=volumes, **arguments)
    try:
        container.start()
        for line in container.logs(stream=True, follow=True):
            print(line.decode("utf-8", errors="replace"), end="")
        code: int = container.wait()["StatusCode"]
        return code
    finally:
        container.remove(force=True, v=True)


def _hand_over(folder: Path) -> None:
    """Give what root has made below `folder` to the user of the images."""
    for path in (folder, *folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):  # a step may remove its own meanwhile
            if path.lstat().st_uid == 0:
                os.chown(path, _NOBODY, _NOBODY, follow_symlinks=False)
