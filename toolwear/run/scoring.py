"""What a run of the scoring graph is asked to do, wherever it runs, and what it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.s3 import is_bucket, place_in
from toolwear.run.run_name import is_run_name
from toolwear.workspace.home import Home

VERDICTS_FILE = "verdicts.parquet"
PROGRESS_FILE = "progress.json"
_ADDRESS, _TEXT = 1024, 65_536  # characters; a contract of 48 signals has 12,000


class ScoringParameters(BaseModel):
    """The parameters of `pipelines.scoring`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    data: str = Field(
        min_length=1,
        max_length=_ADDRESS,
        description="Folder of recordings, from the root, or s3://bucket/prefix.",
    )
    settings: str = Field(
        "",
        max_length=200,
        description="Of all of them, as feedrate=6,clamp_pressure=4; empty: as in their table.",
    )
    dataset: str = Field(
        "",
        max_length=_TEXT,
        description="Contract that reads them; empty: the dataset.toml beside them, else the last "
        "training's.",
    )
    target: str = Field(
        "",
        max_length=_ADDRESS,
        description="Folder, from the root, or s3://bucket/prefix that gets verdicts.parquet, too.",
    )

    @field_validator("data", "target")
    @classmethod
    def _address(cls, given: str) -> str:
        named = bool(place_in(given)[0]) if is_bucket(given) else PurePath(given).is_absolute()
        if (given and not named) or not given.isprintable():
            raise ValueError(
                "it has to be a folder's whole path, from the root, or s3://bucket/..."
            )
        return given


class Progress(BaseModel):
    """How far a job is.

    Attributes:
        done: recordings that are scored or were found faulty; None where nobody has told yet.
        of: recordings that there are; None: the same.
        rows: that were read so far, also of faulty recordings.
        last: what was told last, for a reader.
    """

    model_config = ConfigDict(frozen=True)

    done: int | None = None
    of: int | None = None
    rows: int = 0
    last: str = ""


def queue(home: Home) -> Path:
    """Return the folder with the queue of a home's jobs."""
    return home.trigger / "scoring"


def attempts(home: Home) -> Path:
    """Return the folder of a home that has one for each attempt at a job, by its name."""
    return queue(home) / "runs"


def kept(home: Home, name: str) -> Path:
    """Return the folder of a home for the progress and the verdicts of a job.

    Args:
        home: the system's folder.
        name: of the attempt at the job.

    Raises:
        ToolwearError: that is no such name, which might lead anywhere.
    """
    if not is_run_name(name):
        raise ToolwearError(f"'{name}' is not the name of a job; the trigger gives one.")
    return attempts(home) / name / "verdicts"


def progress(home: Home, name: str) -> Progress:
    """Return how far a job says that it is, wherever it is done; nothing where that is not known.

    Args:
        home: the system's folder.
        name: of the attempt at the job.
    """
    try:
        return Progress.model_validate(jsonfile.read(kept(home, name) / PROGRESS_FILE))
    except (OSError, ValueError, ToolwearError):  # not there yet, damaged or a link
        return Progress()


def asked(values: Mapping[str, Any]) -> ScoringParameters:
    """Return parameters that somebody gives.

    Raises:
        ToolwearError: one is missing, unknown or wrong.
    """
    try:
        return ScoringParameters.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])[:40]
        told = first["msg"].removeprefix("Value error, ")
        raise ToolwearError(
            f"The parameter '{key}' is wrong: {told[:1].lower()}{told[1:]}; a scoring run takes "
            f"{', '.join(ScoringParameters.model_fields)}."
        ) from None
