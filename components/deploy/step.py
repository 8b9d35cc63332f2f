"""Input and output of the deployment."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from toolwear.model.package import load_package
from toolwear.release.blue_green.logic import ALL
from toolwear.release.blue_green.questions import keep_rows, known_rows
from toolwear.release.blue_green.target import Said, Target, bring, traffic_steps


@dataclass(frozen=True)
class Request:
    """What has to be deployed.

    Attributes:
        package: folder of the package, under any name.
        digest: SHA-256 that names it.
        version: of the model in the registry.
        telemetry: folder of the recordings.
        model_name: name in the URL.
        cause: why the run was started.
        weights: percent of the traffic, such as "10,50,100".
    """

    package: Path
    digest: str
    version: str
    telemetry: Path
    model_name: str
    cause: str
    weights: str = str(ALL)


def deploy(request: Request, target: Target, output: Path) -> None:
    """Bring the package into service and write `deployment.json`, whatever comes of it.

    Args:
        request: what to deploy.
        target: where.
        output: folder to make.

    Raises:
        ToolwearError: there is no cluster, no right, no bucket, or the package is not whole.
        NotDeployedError: the model did not come up or answered wrongly; the one before serves on.
        ClusterDownError: the Kubernetes API fails for long.
    """
    steps = traffic_steps(request.weights)
    package = load_package(request.package, request.digest)
    known = known_rows(request.telemetry, package)
    keep_rows(request.telemetry, target.home.asked)
    output.mkdir(parents=True)
    said = Said(request.model_name, request.version, request.cause)
    with target.alone() as cluster, _sigterm_unwinds():
        bring(package, known, steps, target, cluster, said, output)


@contextmanager
def _sigterm_unwinds() -> Iterator[None]:
    """Let SIGTERM, by which a run is cancelled, put back what was begun instead of killing us."""

    def stop(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
