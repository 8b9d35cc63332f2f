"""The registry of models: MLflow's versions and aliases, seen as this system uses them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolwear.common.errors import ToolwearError
from toolwear.common.files import see_database
from toolwear.common.steps import report
from toolwear.model.package import Package, load_package
from toolwear.workspace.home import Home
from toolwear.workspace.moved import follow

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
CANDIDATE = "candidate"  # takes a part of the traffic, or copies of it, before it may be champion

# Tags of runs and versions.
MODEL = "toolwear.model"  # name of the registered model
COMPLETE = "toolwear.complete"  # set last: without it, the registration was cut off
PACKAGE = "toolwear.package"  # digest of the package
HOME = "toolwear.home"  # folder of the system that registered it
GATE = "toolwear.gate"  # the decision
USE = "toolwear.use"
LEFT_OUT = "toolwear.left_out"  # and a dot and the question: why it was not asked
CAUSE = "toolwear.cause"
COMMIT = "toolwear.commit"
DATA = "toolwear.data_digest"
GRAPH = "toolwear.graph_digest"
SEED = "toolwear.seed"
MODEL_SHA256 = "toolwear.model_sha256"
PRUNED = "toolwear.pruned"  # when its files were removed to make room
RUN = "toolwear.run"  # of a run alone: the pipeline run's name, or on a cluster its id
STATE, REASON = "toolwear.state", "toolwear.reason"  # of a run: how it ended, and why so


@dataclass(frozen=True)
class Version:
    """A completely registered version."""

    name: str
    number: str
    run_id: str
    tags: Mapping[str, str]

    @property
    def package_digest(self) -> str:
        """Digest of its package.

        Raises:
            ToolwearError: its tags were changed by other means.
        """
        if PACKAGE not in self.tags:
            raise ToolwearError(
                f"Version {self.number} of {self.name} has no tag {PACKAGE}: it was registered or "
                "edited by other means than toolwear; `toolwear status` says what mends it."
            )
        return self.tags[PACKAGE]


class Registry:
    """One registered model.

    Args:
        home: the system's folder, which holds the packages.
        mlflow_uri: MLflow's address; empty for the local SQLite registry of `home`.
        name: of the registered model.
    """

    def __init__(self, home: Home, mlflow_uri: str, name: str) -> None:
        self.home = home
        self.name = name
        self.uri = home.tracking_uri(mlflow_uri)
        if not mlflow_uri:
            home.root.mkdir(parents=True, exist_ok=True)
        moved = follow(home)
        if moved:
            report(moved)
        if self.uri == home.local_registry:
            see_database(home.database)
        self.client: Any = mlflow_module().MlflowClient(self.uri, self.uri)

    def at(self, alias: str) -> Version | None:
        """Return the version that has the alias, if one has."""
        from mlflow.exceptions import MlflowException

        try:
            found = self.client.get_model_version_by_alias(self.name, alias)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        return self._version(found)

    def version(self, number: str) -> Version:
        """Return a version.

        Raises:
            ToolwearError: there is none of this number, or it is not complete.
        """
        from mlflow.exceptions import MlflowException

        try:
            found = self.client.get_model_version(self.name, number)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise ToolwearError(
                f"There is no version {number} of the model {self.name}; look into the registry."
            ) from None
        if COMPLETE not in found.tags:
            raise ToolwearError(
                f"Version {number} of {self.name} was registered only in part; register it again."
            )
        return self._version(found)

    def with_package(self, digest: str) -> Version | None:
        """Return a complete version that has this package, if one is there that was not pruned."""
        found = self.client.search_model_versions(
            f"name = '{self.name}' and tags.`{PACKAGE}` = '{digest}'"
        )
        complete = [item for item in found if COMPLETE in item.tags and PRUNED not in item.tags]
        return self._version(complete[0]) if complete else None

    def move(self, alias: str, version: Version | None) -> None:
        """Give the alias to a version, or take it away."""
        if version is not None:
            self.client.set_registered_model_alias(self.name, alias, version.number)
        elif self.at(alias) is not None:
            self.client.delete_registered_model_alias(self.name, alias)

    def package(self, version: Version) -> Package:
        """Return a version's package.

        Raises:
            ToolwearError: it is not there any more, or was changed.
        """
        return load_package(self.package_folder(version))

    def package_folder(self, version: Version) -> Path:
        """Return where a version's package is."""
        return self.home.packages / version.package_digest

    def _version(self, found: Any) -> Version:
        return Version(self.name, str(found.version), found.run_id, dict(found.tags))


def mlflow_module() -> Any:
    """Return MLflow, which is told on import that it must not phone home."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    import mlflow

    return mlflow
