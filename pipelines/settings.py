"""What every task of a graph gets on a cluster: name, resources, cache, account, volume, retries.

kfp.local ignores all of it but the names, the cache, the retries and the environment.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kfp import kubernetes
from kfp.dsl import PipelineTask

from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import step_fingerprint
from toolwear.run.config import RunParameters
from toolwear.workspace.seal import KEY_VARIABLE

CODE_DIGEST = "TOOLWEAR_CODE_DIGEST"
MAIN_LOCK, AUTOML_LOCK = "main.txt", "automl.txt"

STEP_LABEL = "toolwear/step"  # of a task's pod: network policies speak of it
USER = 65532  # that the images run as, and whose the volume is
HOME_CLAIM, HOME_PATH = "toolwear-home", "/var/lib/toolwear"
SETTINGS_MAP = "toolwear-settings"  # ConfigMap beside the tasks, manifests/kubeflow/settings.env
# The object store's key as Kubeflow Pipelines keeps it.
STORE_SECRET = "mlpipeline-minio-artifact"  # noqa: S105 - a name, not a secret
STORE_KEYS = {"accesskey": "AWS_ACCESS_KEY_ID", "secretkey": "AWS_SECRET_ACCESS_KEY"}
# What a task is told of it; the images know the rest. Each name is in every node of a workflow.
ENVIRONMENT = ("TOOLWEAR_HOME", "TOOLWEAR_MLFLOW")
STORE_ENVIRONMENT = ("TOOLWEAR_NAMESPACE", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION")
# The key that seals the audit log; a cluster without it says so, and seals with one of each pod.
SEAL_SECRET, SEAL_KEYS = "toolwear-seal", {"seal-key": KEY_VARIABLE}
SITE_VARIABLE = "TOOLWEAR_TASKS"  # names a TOML file, read when the graph is compiled
SITE_KEYS = ("cpu", "memory", "minutes", "retries", "node", "accelerator")
_RETRY_AFTER, _RETRY_LONGEST = "10s", "120s"


@dataclass(frozen=True)
class TaskSettings:
    """One task.

    Attributes:
        says: its sentence in the UI.
        cpu: request and limit.
        memory: request and limit.
        cached: whether a result of before may stand in for it.
        lock: the requirements that its code digest holds.
        minutes: after which it is ended.
        retries: how often it is tried again; of use where another server may be away.
        store: whether it uses the object store, and so gets its key and the models' namespace.
        seals: whether it gets the key that seals the audit log, as it reads that or writes to it.
        node: labels of the nodes that it may run on; all if empty.
        accelerator: resource of which it gets one, such as "nvidia.com/gpu".
    """

    says: str
    cpu: tuple[str, str] = ("250m", "1")
    memory: tuple[str, str] = ("512Mi", "2Gi")
    cached: bool = True
    lock: str = MAIN_LOCK
    minutes: int = 60
    retries: int = 0
    store: bool = False
    seals: bool = False
    node: Mapping[str, str] = field(default_factory=dict)
    accelerator: str = ""


SETTINGS = {
    # A folder's name does not tell what is in it now: what was read before would teach for ever.
    "ingest": TaskSettings("Read the recordings", cached=False),
    "validate": TaskSettings("Check the recordings", memory=("448Mi", "3Gi")),
    "features": TaskSettings("Compute the features and join them in time", memory=("448Mi", "3Gi")),
    "guard": TaskSettings(
        "Look for poison in the data", memory=("448Mi", "3Gi"), cached=False, seals=True
    ),
    "split": TaskSettings("Split three ways and look for leaks", memory=("448Mi", "3Gi")),
    "train": TaskSettings("Train the baselines and test against chance", memory=("704Mi", "3Gi")),
    "automl": TaskSettings(
        "Search for the best model",
        cpu=("500m", "2"),
        memory=("1536Mi", "14Gi"),
        lock=AUTOML_LOCK,
        minutes=24 * 60,
    ),
    "evaluate": TaskSettings("Measure every model with its interval", memory=("576Mi", "3Gi")),
    "explain": TaskSettings("Explain the model six ways", memory=("576Mi", "3Gi")),
    # What decides or acts is never taken from a cache.
    "decide": TaskSettings("Judge challenger against champion", cached=False, seals=True),
    "register": TaskSettings("Register the challenger with its card", cached=False, retries=2),
    "serve_check": TaskSettings("Ask the served model for known answers", cached=False),
    "deploy": TaskSettings(
        "Serve the challenger on the cluster and ask it",
        cached=False,
        minutes=120,
        store=True,
        seals=True,
    ),
    "promote": TaskSettings(
        "Make the challenger the champion", cached=False, retries=2, seals=True
    ),
    "decline": TaskSettings(
        "Leave the champion as it is and say why", cached=False, retries=2, seals=True
    ),
    "report": TaskSettings("Write the report", cached=False),
    "finish": TaskSettings("Say how the run ended", cached=False, seals=True),
}

# Of the graph that scores. What is in a folder or a bucket now, its name does not tell.
SCORING = {
    "score": TaskSettings(
        "Score the recordings", memory=("576Mi", "3Gi"), cached=False, store=True, seals=True
    ),
}
EVERY = SETTINGS | SCORING  # steps of all graphs


def settings_of(step: str) -> TaskSettings:
    """Return a step's settings with what the site's file says of it; see docs/kubernetes.md.

    Raises:
        ToolwearError: the file is missing, is not TOML, or says what nobody knows.
    """
    path = os.environ.get(SITE_VARIABLE)
    if not path:
        return EVERY[step]
    try:
        site = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ToolwearError(f"{path} ({SITE_VARIABLE}) cannot be read as TOML: {error}.") from None
    strange = [name for name in site if name not in EVERY]
    strange += [
        f"{one}.{key}" for one, said in site.items() for key in said if key not in SITE_KEYS
    ]
    if strange:
        raise ToolwearError(
            f"{path} speaks of {strange[0]}, which is none of {', '.join(SITE_KEYS)} of a step."
        )
    said: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in site.get(step, {}).items()
    }
    return replace(EVERY[step], **said)


def apply(task: PipelineTask, step: str) -> PipelineTask:
    """Give `task` the settings of `step` and return it."""
    settings = settings_of(step)
    task.set_display_name(settings.says)
    task.set_cpu_request(settings.cpu[0]).set_cpu_limit(settings.cpu[1])
    task.set_memory_request(settings.memory[0]).set_memory_limit(settings.memory[1])
    task.set_caching_options(settings.cached)
    # kfp's local cache knows a step's few lines only; this tells it of the modules behind them.
    task.set_env_variable(CODE_DIGEST, step_fingerprint(step, settings.lock))
    if settings.retries:
        task.set_retry(
            settings.retries, backoff_duration=_RETRY_AFTER, backoff_max_duration=_RETRY_LONGEST
        )
    _on_kubernetes(task, step, settings)
    return task


def _on_kubernetes(task: PipelineTask, step: str, settings: TaskSettings) -> None:
    kubernetes.set_image_pull_policy(task, "IfNotPresent")
    kubernetes.set_timeout(task, settings.minutes * 60)
    kubernetes.set_security_context(task, run_as_user=USER, run_as_group=USER, run_as_non_root=True)
    kubernetes.add_pod_label(task, STEP_LABEL, step)
    for label, value in settings.node.items():
        kubernetes.add_node_selector(task, label, value)
    if settings.accelerator:
        task.set_accelerator_type(settings.accelerator).set_accelerator_limit(1)
    kubernetes.mount_pvc(task, HOME_CLAIM, HOME_PATH)
    told = (*ENVIRONMENT, *(STORE_ENVIRONMENT if settings.store else ()))
    kubernetes.use_config_map_as_env(task, SETTINGS_MAP, {name: name for name in told})
    if settings.store:
        kubernetes.use_secret_as_env(task, STORE_SECRET, STORE_KEYS)
    if settings.seals:
        kubernetes.use_secret_as_env(task, SEAL_SECRET, SEAL_KEYS, optional=True)


# Parameters that whoever submits a run fills in, beside those that a person configures.
LINEAGE = {
    "data_digest": "SHA-256 that the recordings must have; empty to take them as they are.",
    "commit": "Commit of the code, for the lineage.",
    "graph_digest": "Digest of the compiled graph, for the lineage.",
    "person": "Name of who starts the run, for MLflow.",
}


def described(graph: Callable[..., Any]) -> Callable[..., Any]:
    """Give a graph's parameters the descriptions of the configuration, for the KFP form."""
    says = {name: field.description for name, field in RunParameters.model_fields.items()} | LINEAGE
    names = graph.__code__.co_varnames[: graph.__code__.co_argcount]
    lines = [f"    {name}: {says[name]}" for name in names]
    graph.__doc__ = "\n".join([str(graph.__doc__), "", "Args:", *lines])
    return graph
