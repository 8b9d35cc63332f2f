"""Serves versions of the registry on a cluster when a person says so, outside of any run.

On one machine the servers follow the champion's pointer. On a cluster the InferenceServices and the
route's weights have to be moved, and are, before the registry's alias is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from toolwear.common.errors import ToolwearError
from toolwear.common.steps import report
from toolwear.model.package import Package
from toolwear.release.blue_green.cluster import Cluster, ClusterDownError
from toolwear.release.blue_green.logic import NotDeployedError, mend
from toolwear.release.blue_green.notes import Notes
from toolwear.release.blue_green.questions import kept_rows, known_among
from toolwear.release.blue_green.target import Said, Target, bring, traffic_steps
from toolwear.release.registry import Version

_LOCK_SECONDS = 30.0  # a person waits; a run that deploys may take an hour


@dataclass(frozen=True)
class Versions:
    """What `toolwear.release.served.Served` asks for, on a cluster.

    Attributes:
        target: where and how.
    """

    target: Target

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep every other deployment out.

        Raises:
            ToolwearError: one is at work.
        """
        with self.target.alone(_LOCK_SECONDS):
            yield

    def serve(self, version: Version, package: Package, cause: str, weights: str) -> None:
        """Give the traffic to a version, once it has answered; needs `alone`.

        Args:
            version: of the registry.
            package: that version's, whole.
            cause: of the run that made it, for the log.
            weights: percent of the traffic, such as "10,50,100".

        Raises:
            ToolwearError: it does not come up, answers wrongly, or the cluster is away; what
                served before serves on.
        """
        known = known_among(kept_rows(self.target.home.asked), package)
        cluster = self.target.cluster or Cluster()
        said = Said(version.name, version.number, cause)
        try:
            bring(package, known, traffic_steps(weights), self.target, cluster, said)
        except NotDeployedError as error:
            raise ToolwearError(
                f"Version {version.number} is not served, and what served before serves on: {error}"
            ) from error
        except ClusterDownError as error:
            raise ToolwearError(
                f"Version {version.number} may not be served: {error} Once it answers, say this "
                "again; what was begun is put back first."
            ) from error

    def mend(self) -> None:
        """Put back what a deployment that was killed has left; one that is at work is left alone.

        Raises:
            ToolwearError: another one is at work, there is no right, or the cluster is away.
        """
        with self.target.alone(_LOCK_SECONDS) as cluster:
            try:
                mend(cluster, Notes(self.target.home), report)
            except ClusterDownError as error:
                raise ToolwearError(str(error)) from error
