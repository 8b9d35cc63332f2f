"""Input and output of the deployment."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from components.core import jsonfile
from components.core.errors import ToolwearError
from components.core.home import Home
from components.core.lock import exclusive
from components.core.package import load_package
from components.core.steps import report
from components.deploy import store
from components.deploy.cluster import Cluster, ClusterDownError
from components.deploy.colours import name_of
from components.deploy.logic import ALL, Deployment, NotDeployedError, Pace, record
from components.deploy.questions import Address, ask, known_rows
from components.promote import audit_log
from components.promote.moves import locked, who

DEPLOYMENT_FILE = "deployment.json"
DEPLOY, NOT_DEPLOYED = "deploy", "not_deployed"
_ANSWER_SECONDS = 60.0  # until a model whose pods are available is reached by its Service
_LOCK_SECONDS = 1800.0


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


def deploy(
    request: Request,
    home: Home,
    output: Path,
    cluster: Cluster | None = None,
    address: Callable[[str, str], str] | None = None,
    pace: Pace | None = None,
) -> None:
    """Bring the package into service and write `deployment.json`, whatever comes of it.

    Args:
        request: what to deploy.
        home: the system's folder, for its lock and its audit log.
        output: folder to make.
        cluster: where; by default that of the pod, else of kubeconfig.
        address: returns the URL of a component of a colour; by default that of its Service.
        pace: how long things may take.

    Raises:
        ToolwearError: there is no cluster, no right, no bucket, or the package is not whole.
        NotDeployedError: the model did not come up or answered wrongly; the one before serves on.
        ClusterDownError: the Kubernetes API fails for long.
    """
    steps = traffic_steps(request.weights)
    package = load_package(request.package, request.digest)
    place = cluster or Cluster()
    url = address or (lambda colour, part: f"http://{name_of(colour)}-{part}.{place.namespace}")
    known = known_rows(request.telemetry, package)
    output.mkdir(parents=True)
    with exclusive(home.lock("deploy"), "deploying a model", _LOCK_SECONDS), _sigterm_unwinds():
        sent = store.upload(package)
        report(f"{store.uri(package.digest)}: {sent} files brought, the others were there")
        deployment = Deployment(
            place,
            package.digest,
            lambda colour: ask(
                Address(url(colour, "transformer"), url(colour, "explainer"), request.model_name),
                known,
                _ANSWER_SECONDS,
            ),
            steps,
            pace or Pace(),
            report,
        )
        try:
            done = deployment.run()
        except (NotDeployedError, ClusterDownError) as error:
            _keep(request, home, output, record(None, package.digest, error), NOT_DEPLOYED)
            raise
        _keep(request, home, output, record(done, package.digest, None), DEPLOY)


def traffic_steps(text: str) -> tuple[int, ...]:
    """Return the steps of the traffic, percent.

    Raises:
        ToolwearError: they do not grow from 1 to 100.
    """
    try:
        steps = tuple(int(part) for part in text.split(","))
    except ValueError:
        steps = ()
    if not steps or steps[-1] != ALL or steps[0] < 1 or list(steps) != sorted(set(steps)):
        raise ToolwearError(
            f"'{text}' are no steps of traffic; write growing percents that end with 100, such as "
            "10,50,100."
        )
    return steps


def _keep(
    request: Request, home: Home, output: Path, result: dict[str, object], action: str
) -> None:
    jsonfile.write(output / DEPLOYMENT_FILE, result)
    report(str(result["reason"]))
    with locked(home):
        audit_log.append(
            home.audit_log,
            who=who(),
            why=result["reason"],
            cause=request.cause,
            action=action,
            model=request.model_name,
            **{"from": result.get("before") or None},
            to=request.version,
            package=request.digest,
        )


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
