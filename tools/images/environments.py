"""The environments that have an image, each with its interpreter, its locks and its code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from toolwear.common import images
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT

FOLDER = Path(__file__).resolve().parent
BASES = FOLDER / "bases.env"
REQUIREMENTS = ROOT / "requirements"


@dataclass(frozen=True)
class Environment:
    """One image.

    Attributes:
        name: of the Dockerfile and of the environment.
        image: the reference that it is tagged with.
        python: version of the interpreter, as the base image's tag has it.
        lock: file of hashed requirements in `requirements/`.
        executor: whether Kubeflow's executor is to be added, which `lock` does not have.
    """

    name: str
    image: str
    python: str
    lock: str
    executor: bool = False

    @property
    def dockerfile(self) -> Path:
        """The file that builds it."""
        return FOLDER / f"{self.name}.Dockerfile"

    def base(self, repository: str = "") -> str:
        """Return the image to build on: `repository` with the interpreter as tag, or the pin."""
        if repository:
            return f"{repository}:{self.python}"
        return pinned_bases()[f"PYTHON_{self.python.replace('.', '_')}"]


ENVIRONMENTS = (
    Environment("pipeline", images.PIPELINE, "3.12", "main.txt"),
    # A task of KFP runs under KFP's executor; without its dependencies it is pure Python.
    Environment("automl", images.AUTOML, "3.9", "automl.txt", executor=True),
    Environment("serving", images.SERVING, "3.12", "serving.txt"),
)


def named(names: list[str]) -> list[Environment]:
    """Return the environments of these names; all if none is given.

    Raises:
        ToolwearError: there is no environment of a name.
    """
    known = {environment.name: environment for environment in ENVIRONMENTS}
    for name in names:
        if name not in known:
            raise ToolwearError(f"There is no image '{name}'; the images are {', '.join(known)}.")
    return [known[name] for name in names] or list(ENVIRONMENTS)


def pinned_bases() -> dict[str, str]:
    """Return the base images by their names in `bases.env`."""
    lines = BASES.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def executor_lock() -> str:
    """Return the requirement of the Kubeflow SDK, with its hashes, as the main lock has it."""
    text = (REQUIREMENTS / "main.txt").read_text(encoding="utf-8")
    found = re.search(r"^kfp==.*?(?=^[^\s#])", text, flags=re.MULTILINE | re.DOTALL)
    if found is None:
        raise ToolwearError("requirements/main.txt has no kfp; run make lock.")
    lines = [line for line in found[0].splitlines() if not line.strip().startswith("#")]
    return "\n".join(lines) + "\n"
