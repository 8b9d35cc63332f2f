"""The contract of a data set, `dataset.toml`: how its files are called, and how they are read.

A file says what differs from the mill's, `datasets/cnc_mill/dataset.toml`. What travels to a step
is the whole contract as JSON, so that a cluster needs no file of this machine.
"""

from __future__ import annotations

import codecs
import json
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.dataset import schema
from toolwear.dataset.limits import limit, number_column
from toolwear.dataset.wrong_value import sentence

FILE = "dataset.toml"
SIMULATED_FILE = "SIMULATED.json"  # beside recordings that the simulator has made
FOLDER = ROOT / "datasets"
DEFAULT = "cnc_mill"
ID = "{id}"


def _raw_column(name: str) -> str:
    return name if name == schema.PHASE else number_column(name)


def _phase(name: str) -> str:
    if name not in schema.PHASES:
        raise ValueError(f"'{name}' is no phase; the phases are {', '.join(schema.PHASES)}")
    return name


def _encoding(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError:
        raise ValueError(f"'{name}' is no encoding that Python knows") from None


def _limit(text: str) -> str:
    limit(text)
    return text


Text = Annotated[str, Field(min_length=1)]
Column = Annotated[str, AfterValidator(number_column)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class About(_Table):
    """What the data set is, for people, and where it comes from."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$", description="Short name.")
    title: Text
    kaggle: str = Field("", description="Handle that is fetched where no folder is given.")
    licence: str = ""
    citation: str = ""


class Recordings(_Table):
    """Which files hold the recordings: one each, or all in one with a column that divides them."""

    files: str = Field("", description="Name of a recording's file; {id} stands for its number.")
    file: str = Field("", description="One file that holds all recordings.")
    id: str = Field("", description="Its column with the number of the recording.")
    table: Text = Field(description="File with one row a recording: label and settings.")
    number: Text = Field(description="Column of the table with the number of the recording.")
    phases_in_order: bool = Field(
        description="Phases never go back within a recording: where they do, another one begins."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.file) == bool(self.files):
            raise ValueError("say either 'files' or 'file', not both")
        if self.file != PurePath(self.file).name:
            raise ValueError("'file' has to be a name without a folder")
        if self.file and not self.id:
            raise ValueError("say in 'id' which column of 'file' has the number of the recording")
        if self.id and not self.file:
            raise ValueError("'id' is a column of 'file': say which file holds all recordings")
        if self.files and self.files.count(ID) != 1:
            raise ValueError("'files' has to hold {id} once, such as run_{id}.csv")
        return self


class Format(_Table):
    """How the text files are written. What is not said is guessed from each file, and told."""

    separator: Literal[",", ";", "\t", "|", " "] | None = Field(
        None, description="Between two cells; a blank stands for any white space."
    )
    decimal: Literal[".", ","] | None = None
    encoding: Annotated[str, AfterValidator(_encoding)] | None = None
    compression: Literal["none", "gzip", "bz2", "xz", "zstd"] | None = None


class Label(_Table):
    """The column of the table that says whether the tool was worn; empty: not known."""

    column: Text
    negative: Annotated[tuple[Text, ...], Field(min_length=1, description="Words: not worn.")]
    positive: Annotated[tuple[Text, ...], Field(min_length=1, description="Words: worn.")]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        both = {w.lower() for w in self.negative} & {w.lower() for w in self.positive}
        if both:
            raise ValueError(f"'{min(both)}' stands for both classes")
        return self


class Settings(_Table):
    """Columns of the table with what a person sets."""

    feedrate: Text = Field(description="Column with the feed rate, mm/s.")
    clamp_pressure: Text = Field(description="Column with the clamp pressure, bar.")


class Columns(_Table):
    """Columns of the recordings under other names, with another zero or in another unit."""

    rename: dict[Annotated[str, AfterValidator(_raw_column)], Text] = Field(
        {}, description="Our name = their name."
    )
    scale: dict[Column, Annotated[float, Field(allow_inf_nan=False)]] = Field(
        {}, description="What recorded values are multiplied by."
    )
    offset: dict[Column, Annotated[float, Field(allow_inf_nan=False)]] = Field(
        {}, description="What is then added."
    )
    ignore: tuple[Text, ...] = Field(
        (), description="Further columns that say nothing, not even of another recording."
    )

    @model_validator(mode="after")
    def _usable(self) -> Self:
        theirs = list(self.rename.values())
        twice = next((name for name in theirs if theirs.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"'{twice}' is given to two columns")
        zero = next((name for name, factor in self.scale.items() if factor == 0), None)
        if zero is not None:
            raise ValueError(f"the scale of '{zero}' is 0, which would leave nothing of it")
        return self


class Rows(_Table):
    """Which rows count."""

    judged: Annotated[tuple[Annotated[str, AfterValidator(_phase)], ...], Field(min_length=1)] = (
        Field(description="Phases whose rows the question 'known runs' is asked on.")
    )
    cutting: Annotated[tuple[Annotated[str, AfterValidator(_limit)], ...], Field(min_length=1)] = (
        Field(description="Limits such as 'Z1_ActualPosition < 30.2'; a cutting row keeps all.")
    )


class Figures(_Table):
    """Figures of one published model, and why ours may differ."""

    accuracy: float = Field(ge=0, le=1)
    precision: float = Field(ge=0, le=1)
    recall: float = Field(ge=0, le=1)
    f1: float = Field(ge=0, le=1)
    mcc: float = Field(ge=-1, le=1)
    differs: str = ""


class Published(_Table):
    """Figures that others published on exactly these recordings."""

    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="Of the data; `toolwear data`.")
    rows: int = Field(gt=0, description="Rows that they were measured on.")
    models: dict[str, Figures]


class DataSet(_Table):
    """A data set's contract."""

    dataset: About
    recordings: Recordings
    format: Format = Format()
    label: Label
    settings: Settings
    columns: Columns = Columns()
    rows: Rows
    published: Published | None = None

    @property
    def content(self) -> str:
        """The whole contract as one line of JSON, equal for equal contracts."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


def published(dataset: DataSet, digest: str) -> Published | None:
    """Return the published figures if they were made on the data of this digest, else None."""
    found = dataset.published
    return found if found is not None and found.digest == digest else None


@cache
def default() -> DataSet:
    """Return the mill's contract."""
    return DataSet.model_validate(_toml(FOLDER / DEFAULT / FILE))


def named(given: str) -> DataSet:
    """Return the contract of a name below `datasets/`, a folder, a file, or its content as JSON.

    Raises:
        ToolwearError: there is none, or it is wrong; the sentence names the key.
    """
    if given.lstrip().startswith("{"):
        try:
            return _checked(json.loads(given), "The data set's contract")
        except json.JSONDecodeError as error:
            raise ToolwearError(f"The data set's contract is no JSON ({error}).") from None
    path = Path(given)
    if re.fullmatch(r"[A-Za-z0-9_-]+", given) and (FOLDER / given / FILE).is_file():
        path = FOLDER / given
    if path.is_dir():
        path /= FILE
    if not path.is_file():
        known = sorted(folder.parent.name for folder in FOLDER.glob(f"*/{FILE}"))
        raise ToolwearError(
            f"There is no data set '{given}'; give a folder with a {FILE}, such a file, or one of "
            f"{', '.join(known)}."
        )
    return _checked(_toml(path), str(path))


def resolve(given: str, folder: Path | None) -> DataSet:
    """Return the contract that reads a folder: as given, else its own, else the mill's.

    Raises:
        ToolwearError: as `named`.
    """
    if given:
        return named(given)
    if folder is not None and (folder / FILE).is_file():
        return named(str(folder / FILE))
    return default()


def of(folder: Path) -> DataSet:
    """Return the contract by which the ingest or features step made `folder`, or raise."""
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise ToolwearError(f"{folder} is no telemetry folder: it lacks {manifest.name}.")
    return DataSet.model_validate(jsonfile.read(manifest)["dataset"])


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ToolwearError(f"{path} can't be read ({error.strerror}).") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ToolwearError(f"{path} is not valid TOML ({error}); mend that line.") from None


def _checked(values: Any, source: str) -> DataSet:
    if not isinstance(values, dict):
        raise ToolwearError(f"{source} has to be an object of tables such as [recordings].")
    base = default().model_dump(exclude_none=True)
    if "published" in values:
        base.pop("published")  # figures and their digest belong together
    said = values.get("recordings")
    if isinstance(said, Mapping):
        # One way of finding recordings takes the place of the other.
        for gone in ("files",) if "file" in said else ("file", "id") if "files" in said else ():
            base["recordings"].pop(gone)
    merged = _merged(base, values)
    try:
        return DataSet.model_validate(merged)
    except ValidationError as error:
        raise ToolwearError(f"{source}: {sentence(error, DataSet)}") from None


def _merged(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in given.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(old, value) if both else value  # type: ignore[arg-type]
    return merged
