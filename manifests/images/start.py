"""Starts an image as a cluster would (nobody's user, a root that can't be written) and looks."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

from components.core.errors import ToolwearError
from manifests.images.build import inspect
from manifests.images.environments import Environment

USER = "65532:65532"
# As the manifests have it: no rights, no writable root, a little room in /tmp, and no network.
LOCKED = (
    *("--rm", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--network", "none", "--tmpfs", "/tmp:rw,exec,size=512m"),  # noqa: S108 - the container's
)
_IMPORTS = {
    "pipeline": "pipelines.training, components.cli.main, components.explain.logic, "
    "components.register.logic, components.validate.logic, mlflow, feast",
    "automl": "autosklearn.classification, components.automl.step, kfp.dsl.executor_main",
    "serving": "serving.predictor.model, serving.transformer.model, serving.explainer.model, "
    "shap, lime, alibi, feast, boto3, grpc",
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
print(json.dumps(dict(uid=os.getuid(), writable=writable, tools=tools,
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


def look(environment: Environment) -> dict[str, int | bool | str | list[str]]:
    """Import the environment's main modules in a container and return what it tells of itself.

    Raises:
        ToolwearError: a module does not import, or the container does not start.
    """
    code = _LOOK.format(imports=_IMPORTS[environment.name])
    command = ["docker", "run", *LOCKED, environment.image, "python", "-c", code]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise ToolwearError(f"{environment.image} does not start: {done.stderr.strip()[-1500:]}")
    found: dict[str, int | bool | str | list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found
