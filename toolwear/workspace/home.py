"""The folder in which a system keeps its state: registry, packages, audit log, locks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

HOME_VARIABLE = "TOOLWEAR_HOME"
MLFLOW_VARIABLE = "TOOLWEAR_MLFLOW"  # address of the registry; the local one without it
# MLflow's own counts where it names a server; MLflow sets it to a file itself, whatever the home.
TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"


@dataclass(frozen=True)
class Home:
    """Where things are below the folder."""

    root: Path

    @classmethod
    def at(cls, given: str | Path = "") -> Home:
        """Return the home at `given`, else at $TOOLWEAR_HOME, else at `runs`."""
        return cls(Path(given or os.environ.get(HOME_VARIABLE) or "runs").resolve())

    @property
    def packages(self) -> Path:
        """Model packages, each named by its digest."""
        return self.root / "packages"

    @property
    def records(self) -> Path:
        """The database of the audit log: every move of the champion, only ever appended to."""
        return self.root / "records.db"

    @property
    def database(self) -> Path:
        """MLflow's database, if the registry is the local one."""
        return self.root / "mlflow.db"

    @property
    def mlflow_artifacts(self) -> Path:
        """MLflow's artifacts, if the registry is the local one."""
        return self.root / "mlflow"

    @property
    def monitor(self) -> Path:
        """The monitor's state and reports."""
        return self.root / "monitor"

    @property
    def monitor_reports(self) -> Path:
        """A page for each window of the monitor."""
        return self.monitor / "reports"

    @property
    def payloads(self) -> Path:
        """The payload log: what was asked and answered."""
        return self.root / "payloads"

    @property
    def trigger(self) -> Path:
        """The trigger's queue of causes and runs."""
        return self.root / "trigger"

    @property
    def provenance(self) -> Path:
        """The runs and labels of every data set that was allowed to teach."""
        return self.root / "provenance"

    @property
    def refused(self) -> Path:
        """The evidence against data that was not."""
        return self.root / "refused"

    @property
    def approvals(self) -> Path:
        """Promotions that wait for a person."""
        return self.root / "approvals"

    @property
    def asked(self) -> Path:
        """Recorded rows that a model is asked about before a cluster serves it to clients."""
        return self.root / "asked.parquet"

    @property
    def deployments(self) -> Path:
        """What a deployment to a cluster that is at work has begun, one file a colour."""
        return self.root / "deployments"

    @property
    def servers(self) -> Path:
        """Where the servers that are at work answer, one file a process that started some."""
        return self.root / "servers"

    @property
    def secrets(self) -> Path:
        """Tokens and their digests; for the owner only, and in no backup."""
        return self.root / "secrets"

    def lock(self, name: str) -> Path:
        """Return the lock file of this name."""
        return self.root / ".locks" / f"{name}.lock"

    def tracking_uri(self, given: str = "") -> str:
        """Return the given MLflow address, else $TOOLWEAR_MLFLOW, else the local SQLite file.

        A server that $MLFLOW_TRACKING_URI names comes before the local file, too.
        """
        server = os.environ.get(TRACKING_VARIABLE, "")
        named = server if server.startswith(("http://", "https://")) else ""
        return given or os.environ.get(MLFLOW_VARIABLE) or named or self.local_registry

    def has_registry(self, given: str = "") -> bool:
        """Tell whether there is a registry to ask: the local one is made by the first run."""
        local = self.tracking_uri(given) == self.local_registry
        return not local or self.database.exists()

    @property
    def local_registry(self) -> str:
        """MLflow's address of the registry in this folder."""
        return f"sqlite:///{self.database}"
