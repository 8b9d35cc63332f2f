"""Runs the graph on Kubeflow Pipelines, and fetches what its steps left from the object store."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from pipelines.settings import HOME_PATH, STORE_KEYS
from tools.parity.contents import Run
from toolwear.cli.graph import compile_training
from toolwear.cli.provenance import commit
from toolwear.common.errors import ToolwearError
from toolwear.run.kubeflow import PIPELINE, SUCCEEDED, TOKEN_VARIABLE, Kubeflow, Origin

ENDPOINT = "AWS_ENDPOINT_URL"
NAME = "kubeflow"


@dataclass(frozen=True)
class Cluster:
    """A Kubeflow Pipelines and the object store behind it.

    Attributes:
        host: address of its API.
        namespace: of the profile.
        root: where it keeps artifacts, BUCKET/PREFIX.
        seconds: to wait for the run's end.
    """

    host: str
    namespace: str = "kubeflow"
    root: str = "mlpipeline/v2/artifacts"
    seconds: float = 7200.0


def require_store() -> None:
    """See that the object store's address and key are given, before hours are spent.

    Raises:
        ToolwearError: one is missing.
    """
    missing = [name for name in (ENDPOINT, *STORE_KEYS.values()) if not os.environ.get(name)]
    if missing:
        raise ToolwearError(
            f"Set {', '.join(missing)}: the artifacts are fetched from Kubeflow's object store."
        )


def run_there(
    cluster: Cluster,
    name: str,
    parameters: Mapping[str, Any],
    folder: Path,
    tell: Callable[[str], None],
) -> Run:
    """Upload the graph without its cache, run it, wait, and fetch its artifacts.

    Args:
        cluster: where.
        name: of the run.
        parameters: of the run, `data` as the cluster's tasks see it.
        folder: its subfolder gets the artifacts.
        tell: is given a line for each step that ends.

    Raises:
        KubeflowDownError: the API does not answer.
        ToolwearError: the run did not succeed in time, or left nothing.
    """
    require_store()
    kubeflow = Kubeflow(cluster.host, os.environ.get(TOKEN_VARIABLE, ""), cluster.namespace)
    folder.mkdir(parents=True, exist_ok=True)
    package = folder / "graph.yaml"
    digest = compile_training(package)
    without_cache(package)
    version = kubeflow.upload(package, f"parity-{digest[:12]}", Origin(commit(), digest))
    run_id = kubeflow.start(name, version, parameters)
    tell(f"run {name}: {kubeflow.host}/#/runs/details/{run_id}")
    seen = kubeflow.wait(run_id, cluster.seconds, tell)
    if seen.state != SUCCEEDED:
        raise ToolwearError(f"The run {name} on {cluster.host} is {seen.state}: {seen.error}")
    target = folder / NAME / name
    fetch(cluster.root, run_id, target)
    return Run(NAME, target, (f"{HOME_PATH}/",))


def without_cache(package: Path) -> None:
    """Make every task of a compiled graph run, whatever Kubeflow's cache holds.

    A task from the cache leaves its artifacts with the run that made them.
    """
    documents = list(yaml.safe_load_all(package.read_text(encoding="utf-8")))
    spec = documents[0]
    for part in (spec["root"], *spec["components"].values()):
        for task in part.get("dag", {}).get("tasks", {}).values():
            task["cachingOptions"] = {}
    package.write_text(yaml.safe_dump_all(documents, sort_keys=False), encoding="utf-8")


def fetch(root: str, run_id: str, target: Path) -> None:
    """Copy the artifacts of a run to `target`, each to TASK/ARTIFACT as kfp.local has them.

    Raises:
        ToolwearError: there are none, or the store refuses.
    """
    import boto3  # takes a while
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    below = "/".join(part for part in (prefix.strip("/"), PIPELINE, run_id) if part)
    store = boto3.client("s3")
    try:
        pages = store.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{below}/")
        found = [item for page in pages for item in page.get("Contents", [])]
        for key, name in placed(found, below):
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            store.download_file(bucket, key, str(path))
    except (BotoCoreError, ClientError) as error:
        raise ToolwearError(
            f"The object store at {os.environ.get(ENDPOINT)} does not give the artifacts: {error}"
        ) from None
    if not found:
        raise ToolwearError(f"The object store has nothing below {bucket}/{below}; see --kfp-root.")


def placed(items: list[dict[str, Any]], below: str) -> Iterator[tuple[str, str]]:
    """Yield the key of each object with its place, TASK/ARTIFACT/FILE.

    The keys are TASK/RANDOM/ARTIFACT/FILE; of a task that was tried again the last one counts.
    """
    newest: dict[str, tuple[Any, str]] = {}
    parts = {}
    for item in items:
        task, salt, *rest = PurePosixPath(item["Key"]).relative_to(below).parts
        if not rest or item["Key"].endswith("/"):
            continue
        parts[item["Key"]] = (task, salt, "/".join(rest))
        newest[task] = max(
            newest.get(task, (item["LastModified"], salt)), (item["LastModified"], salt)
        )
    for key, (task, salt, name) in parts.items():
        if salt == newest[task][1]:
            yield key, f"{task}/{name}"


def tell(text: str) -> None:
    """Print a line at once."""
    print(text, file=sys.stderr, flush=True)
