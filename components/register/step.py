"""Input and output of the registration."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from components.register import mlflow_writer
from components.register.contents import Folders, Lineage, gather
from components.register.figures import log_children
from toolwear.common import jsonfile
from toolwear.common.lock import exclusive
from toolwear.common.steps import report
from toolwear.features.store import publish_online
from toolwear.model.package import PARTIAL_PREFIX, Package, write_package
from toolwear.release.patience import going_on
from toolwear.release.registry import CHALLENGER, Registry
from toolwear.release.tracking import Tracking
from toolwear.workspace.home import Home

REGISTRATION_FILE = "registration.json"
_LOCK_SECONDS = 600.0  # an upload to a slow registry may take a while


@dataclass(frozen=True)
class Registered:
    """Where the model is registered."""

    version: str
    digest: str


def register(
    folders: Folders,
    lineage: Lineage,
    model_name: str,
    home: Home,
    mlflow_uri: str,
    output: Path,
    package_output: Path,
    tracking: Tracking | None = None,
) -> Registered:
    """Register the challenger, whatever the gate said of it, and give it the alias `challenger`.

    The same package is registered once: a second call returns the version that is there. The
    newest features of each run go online with it, for serving.

    Args:
        folders: what the earlier steps left.
        lineage: where the model comes from.
        model_name: of the registered model.
        home: keeps the package.
        mlflow_uri: registry; empty for the local one.
        output: folder to make, with registration.json.
        package_output: folder to make, a copy of the package for whoever cannot reach the home.
        tracking: the MLflow run of the pipeline run; without one the version gets its own.
    """
    contents = gather(folders, lineage, model_name)
    registry = Registry(home, mlflow_uri, model_name)
    pictures = {
        name: getattr(folders, name) for name in ("evaluation", "explanation", "split", "decision")
    }
    with exclusive(home.lock("register"), "registering a model", _LOCK_SECONDS):
        for what in _sweep_packages(home) + mlflow_writer.sweep(registry):
            report(f"removed what a registration that was cut off had left: {what}")
        package = write_package(home.packages, contents.description, contents.files)
        version = registry.with_package(package.digest)
        is_new = version is None
        tracked = tracking.begin() if tracking is not None else ""
        if version is None:
            report(f"registering {model_name} with package {package.version}")
            version = mlflow_writer.write(registry, package, contents, lineage, pictures, tracked)
        elif tracked:
            with going_on("what it found"):
                mlflow_writer.describe(registry, tracked, package, contents, lineage, pictures)
        registry.move(CHALLENGER, version)
    if tracked:
        with going_on("of its search, baselines and folds"):
            log_children(registry, tracked, folders.evaluation, folders.automl)
    _copy(package, package_output)
    output.mkdir(parents=True)
    jsonfile.write(
        output / REGISTRATION_FILE,
        {
            "name": model_name,
            "version": version.number,
            "new": is_new,
            "run_id": version.run_id,
            "model_sha256": package.model_sha256,
            "package_digest": package.digest,
            "package": f"{home.packages.name}/{package.digest}",
            "gate": contents.decision["decision"],
            "use": contents.decision["use"],
            "data_digest": lineage.data_digest,
            "commit": lineage.commit,
        },
    )
    publish_online(folders.features, home.root)
    word = "is" if is_new else "was already"
    report(f"package {package.version} {word} version {version.number} of {model_name}")
    return Registered(version.number, package.digest)


def _sweep_packages(home: Home) -> list[str]:
    partial = sorted(home.packages.glob(f"{PARTIAL_PREFIX}*"))
    for folder in partial:
        shutil.rmtree(folder)
    return [f"the unfinished package {folder.name}" for folder in partial]


def _copy(package: Package, output: Path) -> None:
    output.mkdir(parents=True)
    for path in package.folder.iterdir():
        shutil.copyfile(path, output / path.name)
