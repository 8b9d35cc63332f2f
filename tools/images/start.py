"""Starts an image as a cluster would (nobody's user, a root that can't be written) and looks."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tools.images.build import inspect
from tools.images.environments import Environment, named
from toolwear.common.errors import ToolwearError

USER = "65532:65532"
# As the manifests have it: no rights, no writable root, a little room in /tmp, and no network.
LOCKED = (
    *("--rm", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--network", "none", "--tmpfs", "/tmp:rw,exec,size=512m"),  # noqa: S108 - the container's
)
_MARK = "found: "
_PATIENCE = 120.0  # seconds
_IMPORTS = {
    "pipeline": "pipelines.training, toolwear.cli.main, components.explain.logic, "
    "components.register.logic, components.validate.logic, mlflow, feast",
    "automl": "autosklearn.classification, components.automl.step, kfp.dsl.executor_main",
    "serving": "serving.predictor.model, serving.transformer.model, serving.explainer.model, "
    "toolwear.explain.methods.anchor_rule, shap, lime, feast, boto3, grpc",
}
_LOOK = """
import importlib, json, os, shutil, sys
for name in {imports!r}.split(", "):
    importlib.import_module(name)
try:
    open("/opt/toolwear/app/probe", "w")
    writable = True
except OSError:
    writable = False
tools = [tool for tool in ("gcc", "cc", "make", "pip", "pip3", "uv", "git") if shutil.which(tool)]
sbom = json.load(open("/usr/share/sbom/toolwear.cdx.json"))
print("{mark}" + json.dumps(dict(uid=os.getuid(), writable=writable, tools=tools,
    python="%d.%d" % sys.version_info[:2], sbom=len(sbom["components"]))))
"""


def check(environment: Environment) -> Iterator[str]:
    """Start the image locked down, and yield what was found.

    Raises:
        ToolwearError: it is not what it has to be.
    """
    facts = inspect(environment.image)
    if facts["Config"]["User"] != USER:
        raise ToolwearError(f"{environment.image} runs as '{facts['Config']['User']}'.")
    revision = facts["Config"]["Labels"].get("org.opencontainers.image.revision", "")
    seen = look(environment)
    if seen["uid"] != 65532 or seen["writable"] or seen["tools"]:
        raise ToolwearError(f"{environment.image} is not locked down: {seen}.")
    yield (
        f"commit {revision[:12]}, uid {seen['uid']}, Python {seen['python']}, root read-only, "
        f"no build tools, {seen['sbom']} components in its SBOM, {facts['Size'] / 1e6:.0f} MB"
    )


def serve(package: Path) -> float:
    """Start the serving image with a model package, and return the seconds until it is healthy.

    Raises:
        ToolwearError: its own health check does not say so in time.
    """
    (environment,) = named(["serving"])
    started = time.monotonic()
    command = ["docker", "run", "--detach", *LOCKED]
    command += ["--volume", f"{package.resolve()}:/mnt/models:ro", environment.image]
    # The folder's name is the digest that the package must have.
    command += ["python", "-m", "serving.predictor", "--model_dir", "/mnt/models"]
    command += ["--http_port", "8081", "--model_sha256", package.name]
    container = _docker(command, "The serving image does not start").strip()
    asked = ["docker", "inspect", "--format", "{{.State.Health.Status}}", container]
    try:
        while _docker(asked, "The predictor ended").strip() != "healthy":
            if time.monotonic() - started > _PATIENCE:
                log = _docker(["docker", "logs", "--tail", "20", container], "No log is there")
                raise ToolwearError(f"The predictor is not healthy after {_PATIENCE:.0f} s: {log}")
            time.sleep(0.5)
        return time.monotonic() - started
    finally:
        subprocess.run(["docker", "kill", container], check=False, capture_output=True)


def _docker(command: list[str], failure: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise ToolwearError(f"{failure}: {done.stderr.strip()[-1500:]}")
    return done.stdout + done.stderr


def look(environment: Environment) -> dict[str, int | bool | str | list[str]]:
    """Import the environment's main modules in a container and return what it tells of itself.

    Raises:
        ToolwearError: a module does not import, or the container does not start.
    """
    code = _LOOK.format(imports=_IMPORTS[environment.name], mark=_MARK)
    command = ["docker", "run", *LOCKED]
    if environment.executor:
        # As Kubeflow calls its executor: without it the SDK loads what only compiling needs.
        command += ["--env", "_KFP_RUNTIME=true"]
    command += [environment.image, "python", "-c", code]
    said = _docker(command, f"{environment.image} does not start")
    (line,) = [line for line in said.splitlines() if line.startswith(_MARK)]
    found: dict[str, int | bool | str | list[str]] = json.loads(line.removeprefix(_MARK))
    return found
