"""The MLflow run of a pipeline run: it begins and ends with it, and is found by its name.

Here whoever starts the run opens and ends it; on a cluster `ingest` opens it and `finish` ends it.
Between them steps add what they know. None of it may cost a training run: a tracking server that
is away is told of, and the run goes on. Whoever finds no MLflow run makes it, so that a server that
was away for a while lacks the beginning only.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from toolwear.common import jsonfile
from toolwear.common.person import who
from toolwear.common.states import ENDED, State
from toolwear.common.steps import EVENTS_FOLDER, report
from toolwear.dataset import contract
from toolwear.dataset.writer import telemetry_schema
from toolwear.release import registry as tags
from toolwear.release.patience import going_on
from toolwear.release.registry import Registry
from toolwear.run import run_folder
from toolwear.workspace.home import Home

EXPERIMENT = "toolwear"
RUN_VARIABLE = "TOOLWEAR_RUN"  # name of the run that is at work here
HERE, CLUSTER = "toolwear run", "Kubeflow Pipelines"
_COMMIT = re.compile(r"[0-9a-f]{40}")
DIGEST_LENGTH = 36  # MLflow's limit for a data set's digest
_TEXT = 1000  # characters of a parameter or a reason
_PAGE = 1000
_ENDS = {State.SUCCEEDED: "FINISHED", State.CANCELLED: "KILLED", State.KILLED: "KILLED"}


@dataclass(frozen=True)
class Beginning:
    """What is known of a pipeline run when it begins.

    Attributes:
        run: its name, or on a cluster its id; empty: it is not tracked.
        parameters: what it was asked to do.
        cause: why it was started.
        commit: of the code.
        data_digest: of the recordings, as far as it is known.
        graph_digest: of the compiled graph.
        person: who has started it, by name; empty: whoever runs this.
        source: what it runs on, `HERE` or `CLUSTER`.
    """

    run: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    cause: str = ""
    commit: str = ""
    data_digest: str = ""
    graph_digest: str = ""
    person: str = ""
    source: str = CLUSTER


@dataclass(frozen=True)
class Tracking:
    """The MLflow run of one pipeline run. None of its methods raises for what MLflow does.

    Attributes:
        home: the system's folder.
        mlflow_uri: MLflow's address; empty for the local one.
        model: name of the registered model.
        known: of the run; without a name, nothing is tracked.
    """

    home: Home
    mlflow_uri: str
    model: str
    known: Beginning

    def begin(self) -> str:
        """Return the id of the MLflow run, which is made if it is not there; empty if it can't."""
        if self.known.run:
            with going_on("that it began"):
                return self._run_id(self._registry())
        return ""

    def note_data(self, telemetry: Path) -> None:
        """Add the recordings: where they are, their digest, their columns.

        Args:
            telemetry: output of ingest.
        """
        if not self.known.run:
            return
        with going_on("of its recordings"):
            from mlflow.entities import DatasetInput, InputTag

            manifest = jsonfile.read(telemetry / "manifest.json")
            columns = telemetry_schema(contract.of(telemetry))
            registry = self._registry()
            run_id = self._run_id(registry)
            context = InputTag("mlflow.data.context", "recordings")
            made = DatasetInput(_recordings(manifest, columns), [context])
            registry.client.log_inputs(run_id, [made])
            registry.client.set_tag(run_id, tags.DATA, manifest["digest"])

    def attach(self, files: Mapping[str, Path]) -> None:
        """Add files, by the names that they get in MLflow."""
        if self.known.run:
            with going_on("its " + " and ".join(files)):
                registry = self._registry()
                _attach(registry, self._run_id(registry), files)

    def end(self, state: State, reason: str, files: Mapping[str, Path]) -> None:
        """End the MLflow run.

        Args:
            state: of the run.
            reason: why it did not succeed.
            files: to attach, by the names that they get in MLflow.
        """
        if not self.known.run:
            return
        with going_on(f"how it ended, {state}"):
            registry = self._registry()
            run_id = self._run_id(registry)
            _attach(registry, run_id, files)
            _end(registry, run_id, state, reason)

    def settle(self) -> None:
        """End the MLflow runs of this machine's runs that were killed without a word."""
        with going_on("how runs before it ended"):
            registry = self._registry()
            found = registry.client.search_runs(
                [experiment_id(registry)], "attributes.status = 'RUNNING'", max_results=_PAGE
            )
            for one in found:
                known = one.data.tags
                if known.get(tags.HOME) != str(self.home.root) or tags.RUN not in known:
                    continue
                folder = self.home.root / known[tags.RUN]
                if folder.is_dir() and (ending := run_folder.ending(folder)).state in ENDED:
                    _end(registry, one.info.run_id, *ending)

    def _registry(self) -> Registry:
        if not self.home.has_registry(self.mlflow_uri):
            report("MLflow lays out its database, once")
            logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        return Registry(self.home, self.mlflow_uri, self.model)

    def _run_id(self, registry: Registry) -> str:
        found = registry.client.search_runs(
            [experiment_id(registry)], f"tags.`{tags.RUN}` = '{self.known.run}'", max_results=_PAGE
        )
        for one in found:
            if one.data.tags.get(tags.HOME) == str(self.home.root):
                return str(one.info.run_id)
        return _made(registry, self.known)


def on_cluster(
    run: str,
    model: str,
    cause: str = "",
    data_digest: str = "",
    about: tuple[str, str, str] = ("", "", ""),
    **parameters: Any,
) -> Tracking:
    """Return a run's tracking by those steps that alone see its begin and its end on a cluster.

    Here whoever started the run sees them, and so it does nothing.

    Args:
        run: id of the run.
        model: name of the registered model.
        cause: why it was started.
        data_digest: of the recordings, as far as it is known.
        about: commit of the code, digest of the compiled graph, name of who started it.
        parameters: of the run.
    """
    commit, graph_digest, person = about
    seen = "" if EVENTS_FOLDER in os.environ else run
    known = Beginning(seen, parameters, cause, commit, data_digest, graph_digest, person)
    return Tracking(Home.at(), "", model, known)


def in_step(home: Home, mlflow_uri: str, model: str, run: str = "", **known: Any) -> Tracking:
    """Return a run's tracking by a step that adds to it, wherever it runs.

    Args:
        home: the system's folder.
        mlflow_uri: MLflow's address; empty for the local one.
        model: name of the registered model.
        run: id of the run on a cluster; here its name is in the environment, and a step that is
            given none adds to runs on this machine only.
        known: what the step knows of a `Beginning`.
    """
    return Tracking(
        home, mlflow_uri, model, Beginning(os.environ.get(RUN_VARIABLE) or run, **known)
    )


def experiment_id(registry: Registry) -> str:
    """Return the id of the experiment that holds all runs; it is made if it is not there."""
    found = registry.client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    local = registry.uri == registry.home.local_registry
    # A server knows where its artifacts go; the local registry would put them beside us.
    place = registry.home.mlflow_artifacts.as_uri() if local else None
    return str(registry.client.create_experiment(EXPERIMENT, artifact_location=place))


def _made(registry: Registry, known: Beginning) -> str:
    from mlflow.entities import Param

    made = registry.client.create_run(
        experiment_id(registry), run_name=known.run, tags=_tags(registry, known)
    )
    given = {name: str(value)[:_TEXT] for name, value in sorted(known.parameters.items())}
    params = [Param(name, value) for name, value in given.items() if value]
    registry.client.log_batch(made.info.run_id, params=params)
    return str(made.info.run_id)


def _tags(registry: Registry, known: Beginning) -> dict[str, str]:
    commit = known.commit.removesuffix("-dirty")
    here = known.source == HERE
    values = {
        "mlflow.user": known.person or (who() if here else known.source),
        "mlflow.source.name": known.source,
        "mlflow.source.type": "LOCAL" if here else "JOB",
        "mlflow.source.git.commit": commit if _COMMIT.fullmatch(commit) else "",
        tags.RUN: known.run,
        tags.MODEL: registry.name,
        tags.HOME: str(registry.home.root),
        tags.CAUSE: known.cause,
        tags.COMMIT: known.commit,
        tags.DATA: known.data_digest,
        tags.GRAPH: known.graph_digest,
        tags.SEED: str(known.parameters.get("seed", "")),
    }
    return {name: value for name, value in values.items() if value}


def _recordings(manifest: Mapping[str, Any], columns: pa.Schema) -> Any:
    """Return recordings as MLflow knows data sets; their rows stay where they are."""
    from mlflow.entities import Dataset
    from mlflow.types import ColSpec, DataType, Schema

    types = {"double": DataType.double, "int64": DataType.long, "string": DataType.string}
    kinds: list[Any] = [
        ColSpec(types.get(str(column.type), DataType.datetime), column.name) for column in columns
    ]
    source = manifest["source"]
    return Dataset(
        name=manifest["dataset"]["dataset"]["name"],
        digest=manifest["digest"][:DIGEST_LENGTH],
        source_type=source["kind"],
        source=json.dumps({"uri": source["location"]}),
        schema=json.dumps({"mlflow_colspec": Schema(kinds).to_dict()}),
        profile=json.dumps({"num_rows": manifest["rows"], "num_runs": manifest["runs"]}),
    )


def _attach(registry: Registry, run_id: str, files: Mapping[str, Path]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, path in files.items():
            if path.exists():
                shutil.copyfile(path, Path(folder) / name)
        registry.client.log_artifacts(run_id, folder)


def _end(registry: Registry, run_id: str, state: State, reason: str) -> None:
    client = registry.client
    client.set_tag(run_id, tags.STATE, str(state))
    if reason:
        client.set_tag(run_id, tags.REASON, reason[:_TEXT])
    client.set_terminated(run_id, _ENDS.get(state, "FAILED"))
