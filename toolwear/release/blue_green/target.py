"""Brings a package into service, and puts what came of it on the audit log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.lock import exclusive
from toolwear.common.person import who
from toolwear.common.steps import report
from toolwear.model.package import Package
from toolwear.release import audit_log
from toolwear.release.blue_green import store
from toolwear.release.blue_green.cluster import Cluster, ClusterDownError
from toolwear.release.blue_green.colours import name_of
from toolwear.release.blue_green.logic import ALL, Deployment, NotDeployedError, Pace, record
from toolwear.release.blue_green.notes import Notes
from toolwear.release.blue_green.questions import Address, Answer, Known, ask
from toolwear.release.moves import locked
from toolwear.workspace.home import Home

DEPLOYMENT_FILE = "deployment.json"
DEPLOY, NOT_DEPLOYED = "deploy", "not_deployed"
_ANSWER_SECONDS = 60.0  # until a model whose pods are available is reached by its Service
_LOCK_SECONDS = 1800.0


@dataclass(frozen=True)
class Target:
    """Where and how a package is brought into service.

    Attributes:
        home: the system's folder, for its lock and its audit log.
        cluster: where; by default that of the pod, else of kubeconfig.
        address: returns the URL of a component of a colour; by default that of its Service.
        pace: how long things may take.
    """

    home: Home
    cluster: Cluster | None = None
    address: Callable[[str, str], str] | None = None
    pace: Pace = field(default_factory=Pace)

    @contextmanager
    def alone(self, seconds: float = _LOCK_SECONDS) -> Iterator[Cluster]:
        """Hold the lock on deployments and give the cluster; wait for another one's end."""
        with exclusive(self.home.lock("deploy"), "deploying a model", seconds):
            yield self.cluster or Cluster()

    def url(self, colour: str, part: str, namespace: str) -> str:
        """Return where a component of a colour answers."""
        if self.address is not None:
            return self.address(colour, part)
        return f"http://{name_of(colour)}-{part}.{namespace}"


@dataclass(frozen=True)
class Said:
    """What the audit log is to say of a deployment beside what came of it.

    Attributes:
        model_name: name in the URL.
        version: of the model in the registry.
        cause: of the run that made it.
    """

    model_name: str
    version: str
    cause: str


def bring(
    package: Package,
    known: Known,
    steps: tuple[int, ...],
    target: Target,
    cluster: Cluster,
    said: Said,
    output: Path | None = None,
) -> None:
    """Bring a package into service, for who holds the lock; log what came of it.

    Args:
        package: is whole.
        known: rows with the package's answers.
        steps: percent of the traffic, one after the other.
        target: where and how.
        cluster: that `target.alone` gave.
        said: of it on the audit log.
        output: folder for `deployment.json`.

    Raises:
        ToolwearError: there is no right or no bucket.
        NotDeployedError: the model did not come up or answered wrongly; the one before serves on.
        ClusterDownError: the Kubernetes API fails for long.
    """

    def asked(colour: str) -> list[Answer]:
        transformer, explainer = (
            target.url(colour, part, cluster.namespace) for part in ("transformer", "explainer")
        )
        return ask(Address(transformer, explainer, said.model_name), known, _ANSWER_SECONDS)

    sent = store.upload(package)
    report(f"{store.uri(package.digest)}: {sent} files brought, the others were there")
    notes = Notes(target.home)
    deployment = Deployment(cluster, notes, package.digest, asked, steps, target.pace, report)
    try:
        done = deployment.run()
    except (NotDeployedError, ClusterDownError) as error:
        result = record(None, package.digest, error)
        _keep(target.home, said, result, NOT_DEPLOYED, output)
        raise
    result = record(done, package.digest, None)
    _keep(target.home, said, result, DEPLOY, output)


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
    home: Home, said: Said, result: dict[str, object], action: str, output: Path | None
) -> None:
    if output is not None:
        jsonfile.write(output / DEPLOYMENT_FILE, result)
    report(str(result["reason"]))
    with locked(home):
        audit_log.append(
            home,
            who=who(),
            why=result["reason"],
            cause=said.cause,
            action=action,
            model=said.model_name,
            **{"from": result.get("before") or None},
            to=said.version,
            package=result["package_digest"],
        )
