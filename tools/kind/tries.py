"""The steps that try a cluster which has everything: a run of the pipeline, and questions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.settings import HOME_PATH
from tools import secrets
from tools.kind.programs import CommandFailedError, Programs
from tools.kind.smoke import smoke
from toolwear.common.fingerprint import ROOT
from toolwear.release import audit_log

_RUN_SECONDS = 3 * 3600
_EVALUATIONS = 8  # of each search: twice the kinds of models that there are


@dataclass(frozen=True)
class Settings:
    """What the steps are told.

    Attributes:
        programs: talk to the cluster.
        overlay: folder below manifests/overlays.
        data: folder of recordings to bring to the node; None for Kaggle's or the simulator's.
        run_name: of the pipeline's run: the same name is not run twice.
        version: of the pipeline; empty for the commit.
        given: further settings of the run.
    """

    programs: Programs
    overlay: str = "kind"
    data: Path | None = None
    run_name: str = "kind-up"
    version: str = ""
    given: Mapping[str, str] = field(default_factory=dict)


def pipeline(settings: Settings) -> None:
    """Upload the pipeline and run it once with small budgets; it trains, deploys and promotes."""
    data = [] if settings.data is None else ["--data", f"{HOME_PATH}/recordings"]
    with settings.programs.forwarded("kubeflow", "svc/ml-pipeline", 8888) as host:
        command = [sys.executable, "-m", "toolwear.cli", "kfp", "run", "--kfp-host", host]
        command += ["--name", settings.run_name, "--fast", "--wait", str(_RUN_SECONDS), *data]
        # By number: a busy node would try too few models in the time of `--fast`.
        command += ["--set", f"search_evaluations={_EVALUATIONS}"]
        command += ["--set", "deploy_model=true", "--version", settings.version]
        command += [
            word for key, value in settings.given.items() for word in ("--set", f"{key}={value}")
        ]
        print(f"  $ {' '.join(command[2:])}", flush=True)
        # Its own lines tell the progress of an hour.
        ended = subprocess.run(command, cwd=ROOT, check=False, env=_environment())
    if ended.returncode:
        raise CommandFailedError(
            f"the run {settings.run_name} did not succeed; its tasks' logs are in the UI, and in: "
            "kubectl --namespace kubeflow logs --selector toolwear/step=NAME --container main"
        )
    _see_that_a_model_serves(settings)


def _see_that_a_model_serves(settings: Settings) -> None:
    """Tell if the run was declined, which is no failure of it, but leaves a new cluster empty."""
    kubectl = settings.programs.kubectl
    where = ("--namespace", secrets.NAMESPACE)
    export = ("python", "-m", "toolwear.cli", "audit", "export")
    log = kubectl(*where, "exec", "deploy/trigger", "--", *export, quiet=True)
    entry = json.loads(log.splitlines()[-1])
    if entry["action"] != audit_log.DECLINE:
        return
    print(f"  declined: {entry['why']}", flush=True)
    if not kubectl(*where, "get", "httproutes", "--output", "name", quiet=True).split():
        raise CommandFailedError(
            f"declined: {entry['why']} So no model serves. Give a run of another name other "
            "recordings or larger budgets: toolwear kfp run --name NAME"
        )


def ask(settings: Settings) -> None:
    """Ask the model through the gateway, rightly and wrongly."""
    with gateway(settings) as address:
        for line in smoke(address):
            print(f"  {line}", flush=True)


@contextmanager
def gateway(settings: Settings) -> Iterator[str]:
    """Give the address of the gateway, from here.

    Raises:
        CommandFailedError: it has no Service.
    """
    service = "gateway.envoyproxy.io/owning-gateway-name=toolwear"
    namespace = "envoy-gateway-system"
    found = settings.programs.kubectl(
        *("--namespace", namespace, "get", "service", "--selector", service),
        *("--output", "jsonpath={.items[*].metadata.name}"),
    ).split()
    if not found:
        raise CommandFailedError("the gateway has no Service yet; see: kubectl get gateways -A")
    with settings.programs.forwarded(namespace, f"svc/{found[0]}", 80) as address:
        yield address


def _environment() -> dict[str, str]:
    """Return ours, without a folder of recordings that the cluster does not have."""
    kept = {name: value for name, value in os.environ.items() if name != "TOOLWEAR_DATA"}
    return {**kept, "PYTHONPATH": str(ROOT)}
