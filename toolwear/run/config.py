"""The configuration of a training run: typed, frozen, and deaf to keys it does not know.

Values come, the later the stronger, from the defaults here, `toolwear.toml`, environment
variables `TOOLWEAR_<NAME>` and the command line. The fields of `RunParameters` are the
parameters of the pipeline, so that a person who starts a run in the Kubeflow UI, a schedule and
the command line all fill in the same form.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from toolwear.common.causes import Cause
from toolwear.common.errors import ToolwearError
from toolwear.dataset.contract import named

CONFIG_FILE = "toolwear.toml"
_ENVIRONMENT_PREFIX = "TOOLWEAR_"


class RunParameters(BaseModel):
    """What a run is asked to do."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    data: str = Field("", description="Folder of recordings and their table; empty: Kaggle's copy.")
    dataset: str = Field(
        "",
        description="How the recordings are to be read: a name below datasets/, a folder or file "
        "with a dataset.toml, or its content as JSON; empty: the folder's own, else the mill's.",
    )
    allow_simulator: bool = Field(
        True, description="Use simulated telemetry, and say so loudly, if Kaggle is out of reach."
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of everything that draws at random.")
    restore_order: bool = Field(
        True, description="Restore the time order of rows stored in shuffled batches."
    )
    window: int = Field(
        0, ge=0, le=10_000, description="Trailing window of features, rows; 0: the data set's."
    )
    stride: int = Field(
        0, ge=0, le=10_000, description="Distance of two windows, rows; 0: the data set's."
    )
    permutations: int = Field(
        100, ge=0, le=10_000, description="Relabelings of whole runs in the test against chance."
    )
    search_seconds: int = Field(300, ge=10, description="Budget of the main search, seconds.")
    search_evaluations: int = Field(
        0, ge=0, description="Budget of each search in evaluations, for repeatable runs; 0: time."
    )
    search_memory_mb: int = Field(6000, ge=2500, description="Memory limit of a search, MiB.")
    search_cores: int = Field(2, ge=1, le=64, description="Searches that may run at a time.")
    search_dask: str = Field(
        "",
        pattern=r"^((tcp|tls)://[^\s/]+:\d+)?$",
        description="Dask scheduler whose workers try the main search's models, tcp://host:port; "
        "the memory limit is then of one model, and the result is not repeatable; empty: none.",
    )
    outer_folds: int = Field(
        4,
        ge=0,
        description="Parts into which runs, and settings, are shared out, each of them held out by "
        "a search of its own; 0: each run is a part; 1: a single run is held out.",
    )
    outer_seconds: int = Field(30, ge=10, description="Budget of each such search, seconds.")
    explain_rows: int = Field(12, ge=1, le=1000, description="Predictions explained one by one.")
    rollout: Literal["direct", "canary", "shadow"] = Field(
        "direct",
        description="How a winner becomes champion: at once, by growing parts of the traffic, or "
        "after copies of the traffic; a first champion needs none of it.",
    )
    approval: bool = Field(
        False,
        description="Hold a winner, a first champion too, until a person allows or refuses it.",
    )
    accept_runs: str = Field(
        "",
        max_length=2000,
        description="Runs that the guard refuses and a person has checked, separated by commas, "
        "or 'all'.",
    )
    deploy_model: bool = Field(
        False, description="Serve a winner on the cluster, and ask it, before it becomes champion."
    )
    deploy_weights: str = Field(
        "100",
        pattern=r"^[0-9]{1,3}(,[0-9]{1,3})*$",
        description="Percents of the cluster's traffic that it gets, step by step; 10,50,100.",
    )
    model_name: str = Field(
        "toolwear",
        pattern=r"^[a-z][a-z0-9-]{0,39}$",
        description="Name of the model in the registry and in serving.",
    )
    cause: str = Field(
        Cause.ON_DEMAND.value,
        max_length=200,
        description="Why the run was started: a word of toolwear/common/causes.py and a detail.",
    )

    @field_validator("dataset")
    @classmethod
    def _whole(cls, given: str) -> str:
        """Return the contract itself: another machine has not the file that names it."""
        return named(given).content if given else ""


# Budgets of a run that is all real, but small.
FAST: dict[str, Any] = {
    "permutations": 10,
    "search_seconds": 30,
    "outer_folds": 1,
    "outer_seconds": 12,
    "explain_rows": 4,
}


def load(path: Path | None = None, **overrides: Any) -> RunParameters:
    """Return the parameters from the file, the environment and the given overrides.

    Args:
        path: a TOML file; by default `toolwear.toml` in the working directory, if it is there.
        overrides: values that win over both; None stands for "not given".

    Raises:
        ToolwearError: the file is missing or not TOML, or a key or value is wrong.
    """
    values: dict[str, Any] = _from_file(path)
    for name in RunParameters.model_fields:
        value = os.environ.get(_ENVIRONMENT_PREFIX + name.upper())
        if value is not None:
            values[name] = value
    values.update({name: value for name, value in overrides.items() if value is not None})
    try:
        return RunParameters.model_validate(values)
    except ValidationError as error:
        raise ToolwearError(_sentence(error)) from None


def parsed(settings: Iterable[str]) -> dict[str, str]:
    """Return the keys and values of texts of the form KEY=VALUE.

    Raises:
        ToolwearError: one is not of that form.
    """
    found = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ToolwearError(f"'--set {setting}' has no value; write --set {setting}=VALUE.")
        found[key.strip()] = value.strip()
    return found


def _from_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        path = Path(CONFIG_FILE)
        if not path.is_file():
            return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ToolwearError(f"There is no configuration file {path}; mend its path.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ToolwearError(f"{path} is not valid TOML ({error}); mend that line.") from None


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        return f"The value of '{key}' is wrong: {first['msg'].lower()}, not {first['input']!r}."
    near = difflib.get_close_matches(key, RunParameters.model_fields, n=1)
    hint = f"did you mean '{near[0]}'?" if near else "`toolwear config --schema` lists the keys."
    return f"There is no configuration key '{key}'; {hint}"
