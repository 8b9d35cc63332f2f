"""Writes a registration to MLflow so that being killed at any moment leaves nothing by halves.

Order: package, run, version without the tag `toolwear.complete`, everything else, that tag, and
only then the alias. What lacks the tag is swept away by the next registration, which holds the
home's lock: whoever began it is dead. A run is whole if a whole version points to it, or if it is
a pipeline run's own: that stays, whatever it came to.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from components.register.contents import Contents, Lineage
from components.register.figures import TABLE_FILE, table
from toolwear.common.fingerprint import ROOT, imported
from toolwear.common.person import who
from toolwear.dataset import schema
from toolwear.model import pyfunc
from toolwear.model.package import CARD_FILE, Package
from toolwear.release import registry as tags
from toolwear.release.registry import Registry, Version, mlflow_module
from toolwear.release.tracking import DIGEST_LENGTH, EXPERIMENT, experiment_id

_FOREIGN_SECONDS = 24 * 3600  # a cut-off registration of another home is left alone so long
_PAGE = 1000
_EXAMPLE_ROWS = 3
_NEEDS = ("mlflow", "numpy", "onnxruntime", "pandas")  # of the model where it is loaded


def sweep(registry: Registry) -> list[str]:
    """Remove what cut-off registrations left, and return what was removed; needs the lock."""
    client = registry.client
    removed, whole = [], set()
    for found in client.search_model_versions(f"name = '{registry.name}'", max_results=_PAGE):
        if tags.COMPLETE in found.tags:
            whole.add(found.run_id)
        elif _is_dead(registry, found.tags, found.creation_timestamp):
            client.delete_model_version(registry.name, found.version)
            removed.append(f"version {found.version}")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is not None:
        for run in client.search_runs([experiment.experiment_id], max_results=_PAGE):
            tracked = tags.RUN in run.data.tags  # it tells of a pipeline run, whatever that came to
            if (
                not tracked
                and run.info.run_id not in whole
                and _is_dead(registry, run.data.tags, run.info.start_time)
            ):
                client.delete_run(run.info.run_id)
                removed.append(f"run {run.info.run_id}")
    return removed


def _is_dead(registry: Registry, found: Mapping[str, str], milliseconds: int) -> bool:
    """Return whether whoever writes this registration of this model must be dead."""
    if found.get(tags.MODEL) != registry.name:
        return False
    ours = found[tags.HOME] == str(registry.home.root)
    return ours or time.time() - milliseconds / 1000 > _FOREIGN_SECONDS


def write(
    registry: Registry,
    package: Package,
    contents: Contents,
    lineage: Lineage,
    pictures: Mapping[str, Path],
    tracked: str = "",
) -> Version:
    """Register the package as a new version and return it; sets no alias.

    Args:
        registry: the model; gets its first version if there is none.
        package: has been written.
        contents: what it was made of.
        lineage: where the model comes from.
        pictures: folders with plots, by the name that they get in MLflow.
        tracked: id of the pipeline run's MLflow run, which goes on; without one, one of its own.
    """
    client = registry.client
    run_id = tracked
    if not run_id:
        about = _run_tags(registry, package, lineage) | {"mlflow.user": who()}
        made = client.create_run(experiment_id(registry), tags=about, run_name=package.version)
        run_id = made.info.run_id
    describe(registry, run_id, package, contents, lineage, pictures)
    model = _log_model(registry, run_id, package)
    _ensure_model(registry)
    user = client.get_run(run_id).data.tags.get("mlflow.user", "")
    created = client.create_model_version(
        registry.name,
        source=model.model_uri,
        run_id=run_id,
        tags=_version_tags(registry, package, contents, lineage, user),
        description=package.contents[CARD_FILE].decode().split("## ", 1)[0],
        model_id=model.model_id,
    )
    if not tracked:
        client.set_terminated(run_id, "FINISHED")
    client.set_model_version_tag(registry.name, created.version, tags.COMPLETE, "true")
    return registry.version(str(created.version))


def _ensure_model(registry: Registry) -> None:
    if not registry.client.search_registered_models(f"name = '{registry.name}'"):
        registry.client.create_registered_model(
            registry.name, description="Tells from a machine's telemetry whether its tool is worn."
        )


def _run_tags(registry: Registry, package: Package, lineage: Lineage) -> dict[str, str]:
    return {
        tags.MODEL: registry.name,
        tags.HOME: str(registry.home.root),
        tags.PACKAGE: package.digest,
        tags.COMMIT: lineage.commit,
        tags.DATA: lineage.data_digest,
        tags.GRAPH: lineage.graph_digest,
        tags.SEED: str(lineage.seed),
        tags.CAUSE: lineage.cause,
    }


def _version_tags(
    registry: Registry, package: Package, contents: Contents, lineage: Lineage, user: str
) -> dict[str, str]:
    return {
        **_run_tags(registry, package, lineage),
        "mlflow.user": user,
        tags.MODEL_SHA256: package.model_sha256,
        tags.GATE: contents.decision["decision"],
        tags.USE: contents.decision["use"],
        **_left_out(contents),
    }


def _left_out(contents: Contents) -> dict[str, str]:
    """Return a tag for each question that was not asked, with the reason."""
    left_out = contents.metrics["left_out"]
    return {f"{tags.LEFT_OUT}.{protocol}": reason for protocol, reason in left_out.items()}


def describe(
    registry: Registry,
    run_id: str,
    package: Package,
    contents: Contents,
    lineage: Lineage,
    pictures: Mapping[str, Path],
) -> None:
    """Add to a run what it found: figures, plots, package, training data, what was left out.

    Args:
        registry: the model.
        run_id: of the run in MLflow.
        package: that it came to.
        contents: what the package was made of.
        lineage: where the model comes from.
        pictures: folders with plots, by the name that they get in MLflow.
    """
    client = registry.client
    for name, value in {**_run_tags(registry, package, lineage), **_left_out(contents)}.items():
        client.set_tag(run_id, name, value)
    _log_figures(client, run_id, contents)
    _log_files(client, run_id, package, pictures)
    _log_dataset(client, run_id, contents, lineage)


def _log_figures(client: Any, run_id: str, contents: Contents) -> None:
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    known = client.get_run(run_id).data.params  # as the run was asked, they stay
    client.log_batch(
        run_id,
        metrics=[Metric(name, value, now, 0) for name, value in contents.headline.items()],
        params=[
            Param(name, str(value))
            for name, value in sorted(contents.parameters.items())
            if name not in known
        ],
    )
    if TABLE_FILE not in [item.path for item in client.list_artifacts(run_id)]:  # it would grow
        client.log_table(run_id, table(contents.metrics), TABLE_FILE)


def _log_files(client: Any, run_id: str, package: Package, pictures: Mapping[str, Path]) -> None:
    client.log_artifacts(run_id, str(package.folder), "package")
    client.log_artifact(run_id, str(package.folder / CARD_FILE))
    for name, folder in pictures.items():
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".png", ".svg"):
                client.log_artifact(run_id, str(path), name)


def _log_dataset(client: Any, run_id: str, contents: Contents, lineage: Lineage) -> None:
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.pandas_dataset import from_pandas
    from mlflow.entities import DatasetInput, InputTag

    rows = pd.DataFrame(contents.training.X, columns=list(contents.training.columns))
    dataset = from_pandas(
        rows.assign(**{schema.LABEL: contents.training.y.astype(float)}),
        source=CodeDatasetSource({"toolwear.step": "features"}),
        targets=schema.LABEL,
        name=f"{contents.description['feature_set']} training rows",
        digest=lineage.data_digest[:DIGEST_LENGTH],
    )
    client.log_inputs(
        run_id,
        [DatasetInput(dataset._to_mlflow_entity(), [InputTag("mlflow.data.context", "training")])],
    )


def _log_model(registry: Registry, run_id: str, package: Package) -> Any:
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    mlflow = mlflow_module()
    signature = ModelSignature(
        inputs=Schema([ColSpec(DataType.double, name) for name in package.features]),
        outputs=Schema(
            [
                ColSpec(DataType.string, pyfunc.VERDICT),
                ColSpec(DataType.string, pyfunc.LABEL, required=False),
                ColSpec(DataType.double, pyfunc.PROBABILITY),
                ColSpec(DataType.string, pyfunc.REASON),
            ]
        ),
    )
    example = pd.DataFrame(package.golden().rows[:_EXAMPLE_ROWS], columns=list(package.features))
    mlflow.set_tracking_uri(registry.uri)
    # Not `pyfunc.log_model`: it needs an active run, and a run that was active has ended.
    made = registry.client.create_logged_model(
        experiment_id(registry), name="model", source_run_id=run_id
    )
    with _code() as code:
        return Model.log(
            None,
            mlflow.pyfunc,
            name=made.name,
            run_id=run_id,
            model_id=made.model_id,
            loader_module=pyfunc.__name__,
            data_path=str(package.folder),
            code_paths=[str(code)],
            signature=signature,
            input_example=example,
            pip_requirements=[f"{name}=={version(name)}" for name in _NEEDS],
        )


@contextmanager
def _code() -> Iterator[Path]:
    """Give a folder with the modules that the model needs where it is loaded, and no others."""
    with tempfile.TemporaryDirectory() as scratch:
        for path in imported([Path(pyfunc.__file__)]):
            target = Path(scratch) / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        yield Path(scratch) / pyfunc.__name__.split(".")[0]
