"""What a run of the scoring graph is asked to do, wherever it runs, and what it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from toolwear.common.errors import ToolwearError
from toolwear.common.s3 import is_bucket, place_in

VERDICTS_FILE = "verdicts.parquet"
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
