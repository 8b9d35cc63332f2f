"""The contract of a data set, `dataset.toml`: how its files are called, and how they are read.

A file says what differs from the mill's, `datasets/cnc_mill/dataset.toml`, unless it names signals:
then it speaks of another machine, and says all. What travels to a step is the whole
contract as JSON, so that a cluster needs no file of this machine.
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

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.files import read_regular
from toolwear.common.fingerprint import ROOT
from toolwear.dataset import schema
from toolwear.dataset.limits import limit, near_miss
from toolwear.dataset.wrong_value import sentence

FILE = "dataset.toml"
SIMULATED_FILE = "SIMULATED.json"  # beside recordings that the simulator has made
FOLDER = ROOT / "datasets"
DEFAULT = "cnc_mill"
ID = "{id}"


def _signal(name: str, info: ValidationInfo) -> str:
    """Refuse what is no column of numbers of the contract that is being read."""
    return _known(name, info, ())


def _raw_column(name: str, info: ValidationInfo) -> str:
    phases = _being_read(info).get("phases") or {}
    return _known(name, info, (phases["column"],) if "column" in phases else ())


def _known(name: str, info: ValidationInfo, others: tuple[str, ...]) -> str:
    names = (*_by_name(_being_read(info).get("signals", {})), *others)
    if name not in names:
        raise ValueError(f"'{name}' is no column of numbers{near_miss(name, names)}")
    return name


def _phase(name: str, info: ValidationInfo) -> str:
    names = (_being_read(info).get("phases") or {}).get("names", ())
    if name not in names:
        raise ValueError(f"'{name}' is no phase; the phases are {', '.join(names)}")
    return name


def _being_read(info: ValidationInfo) -> Mapping[str, Any]:
    return info.context or {}


def _encoding(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError:
        raise ValueError(f"'{name}' is no encoding that Python knows") from None


def _limit(text: str, info: ValidationInfo) -> str:
    _known(limit(text).column, info, ())
    return text


def _column_alone(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


def _listed(value: Mapping[str, BaseModel]) -> list[dict[str, Any]]:
    """Return what has an order as a list: an object of JSON may come back in another one."""
    return [{"name": name, **one.model_dump(mode="json")} for name, one in value.items()]


def _by_name(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return {one["name"]: {k: v for k, v in one.items() if k != "name"} for one in value}


_InOrder = (BeforeValidator(_by_name), PlainSerializer(_listed, when_used="json"))


Text = Annotated[str, Field(min_length=1)]
# Names of ours: what Feast, Prometheus and ONNX take as a name, too.
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$")]
Column = Annotated[str, AfterValidator(_signal)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


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
    table: str = Field("", description="File with one row a recording: label and settings.")
    number: str = Field("", description="Column of the table with the number of the recording.")
    material: str = Field("", description="Column of the table with the work piece's material.")
    finished: str = Field("", description="Column: was the recording run to its end, yes or no.")
    inspected: str = Field("", description="Column: did the work piece pass, yes, no or empty.")
    significant_digits: int = Field(0, ge=0, description="That values are stored with; 0: all.")
    sample_period_seconds: float = Field(gt=0, allow_inf_nan=False)
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

    @model_validator(mode="after")
    def _numbered(self) -> Self:
        if bool(self.table) != bool(self.number):
            raise ValueError("'table' and 'number', its column, need each other")
        if (self.material or self.finished or self.inspected) and not self.table:
            raise ValueError("'material', 'finished' and 'inspected' are columns of a 'table'")
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
    """The column that says whether the tool was worn; empty: not known."""

    of: Literal["recording", "row"] = Field(
        "recording",
        description=(
            "recording: the column is one of the table; row: of the recordings, in each of which "
            "the tool may wear out."
        ),
    )
    column: Text
    negative: tuple[Text, ...] = Field((), description="Words: not worn.")
    positive: tuple[Text, ...] = Field((), description="Words: worn.")
    worn_from: Finite | None = Field(
        None, description="Where the column holds a measured wear: the value from which it is worn."
    )
    unit: str = Field("", description="Of the measured wear.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        words = bool(self.negative), bool(self.positive)
        if self.worn_from is not None and any(words):
            raise ValueError("say either words, 'negative' and 'positive', or 'worn_from'")
        if self.worn_from is None and not all(words):
            raise ValueError(
                "say which words of the column are 'negative' and which 'positive', or from which "
                "measured wear on a tool is worn: 'worn_from'"
            )
        return self

    @property
    def words(self) -> dict[str, int]:
        """The words of the column in lower case, and the number of the class of each."""
        classes = enumerate((self.negative, self.positive))
        return {word.lower(): number for number, words in classes for word in words}

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        both = {w.lower() for w in self.negative} & {w.lower() for w in self.positive}
        if both:
            raise ValueError(f"'{min(both)}' stands for both classes")
        return self


class Quantity(_Table):
    """What is measured or set: its unit, and what it can physically be."""

    unit: str = ""
    low: Finite | None = None
    high: Finite | None = None
    title: str = Field("", description="What people call it.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError("'low' has to be below 'high'")
        return self


class Signal(Quantity):
    """A column of numbers of a recording."""

    shown: bool = Field(False, description="Drawn where a recording is looked at.")


class Setting(Quantity):
    """What a person sets for a whole recording."""

    column: Text = Field(description="Column of the table of runs.")
    read_by: str = Field("", description="Signal that reads it while the machine works.")


class Levels(_Table):
    """What a signal reads in some phases: whether their names fit is a check of the order."""

    column: Column
    tolerance: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    values: dict[Annotated[str, AfterValidator(_phase)], Finite]
    tool_difference: Finite | None = Field(
        None, description="By which it differs from tool to tool, however sharp they are."
    )


class Phases(_Table):
    """The column of the recordings that says what the machine is doing.

    Without such a column all rows are of one phase.
    """

    column: Text
    names: Annotated[tuple[Text, ...], Field(min_length=1)] = Field(
        description="In the order of a recording."
    )
    at_any_time: tuple[Text, ...] = Field((), description="Those that come at any time.")
    spellings: dict[Text, Text] = Field({}, description="Another spelling = the name.")
    levels: Levels | None = None
    recorded: bool = Field(True, description="False: no file has the column; there is one phase.")

    @model_validator(mode="after")
    def _one_if_not_recorded(self) -> Self:
        if not self.recorded and len(self.names) != 1:
            raise ValueError("'names' has to hold one phase where the files have no column of them")
        return self

    @property
    def known(self) -> frozenset[str]:
        """Names and other spellings."""
        return frozenset((*self.names, *self.spellings))


class Columns(_Table):
    """Columns of the recordings under other names, with another zero or in another unit."""

    rename: dict[Annotated[str, AfterValidator(_raw_column)], Text] = Field(
        {}, description="Our name = their name."
    )
    scale: dict[Column, Finite] = Field({}, description="What recorded values are multiplied by.")
    offset: dict[Column, Finite] = Field({}, description="What is then added.")
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
        Field(description="Phases whose rows the question 'known runs' is asked on; default: all.")
    )
    cutting: tuple[Annotated[str, AfterValidator(_limit)], ...] = Field(
        (),
        description="Limits such as 'depth < 30.2': a cutting row keeps all; default: each does.",
    )


# Statistics of windows.
MEAN, STD, MAD, ALIAS = "mean", "std", "mad", "alias"


def window_column(signal: str, statistic: str) -> str:
    """Return the name of a window feature, such as "S1_OutputPower_std"."""
    return f"{signal}_{statistic}"


class Windows(_Table):
    """Signals of one physical kind, the statistics that windows take of them, and why."""

    signals: Annotated[tuple[Name, ...], Field(min_length=1)]
    statistics: Annotated[
        tuple[Literal["mean", "std", "mad", "alias"], ...], Field(min_length=1)
    ] = Field(
        description=(
            "mean; std: standard deviation; mad: mean absolute difference of neighbours; alias: "
            "amplitude of the vibration of period `alias_period`."
        )
    )
    why: Text


class FeatureSetOf(_Table):
    """Columns that a model may be given, and what they are for."""

    of: Literal["rows", "windows"]
    columns: tuple[Text, ...] = Field((), description="By default all of that kind.")
    without: tuple[Text, ...] = ()
    why: Text


class Difference(_Table):
    """A signal that is the difference of two."""

    of: Column
    less: Column
    title: str = Field("", description="What people call it.")


class Features(_Table):
    """What models are given: columns as they are, and statistics of trailing windows."""

    levels: tuple[Text, ...] = Field(description="Columns and settings of a single row.")
    session: tuple[Text, ...] = Field(
        (), description="Those of them that tell which session or set-up a row is from."
    )
    derived: dict[Name, Difference] = {}
    window_rows: int = Field(50, ge=2, le=10_000, description="Cutting rows in a window.")
    stride_rows: int = Field(
        25, ge=1, le=10_000, description="Cutting rows from a window that is a sample to the next."
    )
    alias_period: int = Field(3, ge=2, description="Rows; of the statistic `alias`.")
    windows: tuple[Windows, ...] = ()
    sets: Annotated[dict[Name, FeatureSetOf], Field(min_length=1), *_InOrder]


class Order(_Table):
    """What tells the order of rows that were stored in shuffled batches; see features/order.py."""

    line: Column = Field(description="Line of the program: it only grows within a recording.")
    spindle_position: Column = Field(description="Revolutions, a counter that wraps.")
    spindle_velocity: Column = Field(description="Revolutions/s.")
    wraps_at: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(description="Revolutions.")
    axis_positions: Annotated[tuple[Column, ...], Field(min_length=1)]
    axis_velocities: tuple[Column, ...] = Field(description="In the order of the positions.")
    stale_line: Finite | None = Field(
        None, description="Line that the first row of a batch shows whatever the program does."
    )

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if len(self.axis_positions) != len(self.axis_velocities):
            raise ValueError("'axis_velocities' needs one for each of 'axis_positions'")
        return self

    @property
    def motion(self) -> tuple[str, ...]:
        """Columns of motion: spindle position and velocity, axis positions, axis velocities."""
        spindle = (self.spindle_position, self.spindle_velocity)
        return (*spindle, *self.axis_positions, *self.axis_velocities)


class Fault(_Table):
    """A reading of a signal that is known for a fault; it is counted, never filtered."""

    severity: Literal["warning", "info"] = "warning"
    column: Column
    value: Finite | None = Field(None, description="That it reads then.")
    normal: Finite | None = Field(None, description="Anything else than this is one.")
    about: Text = Field(description="What it may be, as a clause.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.value is None) == (self.normal is None):
            raise ValueError("say either 'value' or 'normal'")
        return self

    @property
    def told(self) -> str:
        """The reading for people."""
        return f"not {self.normal:g}" if self.value is None else f"{self.value:g}"

    def shows(self, values: np.ndarray) -> np.ndarray:
        """Return where values of the column show it; where one is missing, they do not."""
        if self.normal is not None:
            return np.not_equal(values, self.normal) & ~np.isnan(values)
        shown: np.ndarray = values == self.value
        return shown


class Admission(_Table):
    """What new recordings are compared by before they may teach."""

    levels: tuple[Column, ...] = Field(
        (), description="Signals whose mean size in the cut is compared with other recordings'."
    )
    same_source: tuple[Column, ...] = Field(
        (), description="Those that read one source; the others are judged by the first."
    )
    follow: dict[Name, tuple[Column, ...]] = Field(
        {}, description="Setting = the levels that grow with it."
    )
    shapes: tuple[Column, ...] = Field(
        (), description="Signals by which a copy of a recording is known; by default all."
    )


class Figures(_Table):
    """Figures of one published model, and why ours may differ."""

    accuracy: float = Field(ge=0, le=1)
    precision: float = Field(ge=0, le=1)
    recall: float = Field(ge=0, le=1)
    f1: float = Field(ge=0, le=1)
    mcc: float = Field(ge=-1, le=1)
    differs: str = ""


class Gate(_Table):
    """What a model has to show on rows held back at random before it may be served at all.

    Not what it may be used for: for new recordings that is measured on recordings left out.
    """

    known_runs_accuracy: float = Field(0.9, ge=0, le=1)
    known_runs_mcc: float = Field(0.6, ge=-1, le=1)


class NotSure(_Table):
    """When the service says "not sure"."""

    target_accuracy: float = Field(
        0.98, gt=0.5, le=1, description="Of the answers that are given, on rows held back for it."
    )
    envelope_quantile: float = Field(
        0.0, ge=0, lt=0.5, description="0: the range seen in training; 0.01: its inner 98 %."
    )


class Published(_Table):
    """Figures that others published on exactly these recordings."""

    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="Of the data; `toolwear data`.")
    rows: int = Field(gt=0, description="Rows that they were measured on.")
    models: dict[str, Figures]


# Sets of which the questions are asked: of recordings that were learned from, and of new ones.
_ASKED = {schema.PUBLISHED: "rows", schema.RESPONSE: "windows"}


class DataSet(_Table):
    """A data set's contract."""

    dataset: About
    recordings: Recordings
    format: Format = Format()
    label: Label
    settings: Annotated[dict[Name, Annotated[Setting, BeforeValidator(_column_alone)]], *_InOrder]
    signals: Annotated[dict[Name, Signal], Field(min_length=1), *_InOrder]
    phases: Phases
    faults: tuple[Fault, ...] = ()
    order: Order | None = Field(None, description="By default rows are in the order of time.")
    columns: Columns = Columns()
    rows: Rows
    features: Features
    admission: Admission = Admission()
    gate: Gate = Gate()
    not_sure: NotSure = NotSure()
    published: Published | None = None

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        """Refuse names that tables of ours could not tell apart; DuckDB ignores their case."""
        seen = {name.lower(): "a column of ours" for name in schema.COLUMNS_OF_OURS}
        renamed = ", and say under [columns.rename] what they call it"
        for kind, names, hint in (
            ("a signal", self.signals, renamed),
            ("the column of phases", (self.phases.column,), renamed),
            ("a setting", self.settings, ", and say in its 'column' what they call it"),
            ("a derived signal", self.features.derived, ""),
        ):
            for name in names:
                mine = f"{kind} '{name}'"
                other = seen.setdefault(name.lower(), mine)
                if other != mine:
                    raise ValueError(
                        f"{kind} has the name '{name}' of {other}; give it another one{hint}"
                    )
        return self

    @model_validator(mode="after")
    def _table_if_asked(self) -> Self:
        of_rows = self.label.of == "row"
        if not self.recordings.table and not of_rows:
            raise ValueError("[recordings] needs a 'table', which says the label of each recording")
        if not self.recordings.table and self.settings:
            raise ValueError("[recordings] needs a 'table', which says the [settings]")
        if of_rows and self.order is not None:
            raise ValueError(
                "a label 'of' each row needs rows in the order of time: leave [order] out"
            )
        if of_rows and self.label.column in self.raw:
            raise ValueError(
                f"'{self.label.column}' under [label] is what is to be told; take it out of the "
                "[signals]"
            )
        return self

    @model_validator(mode="after")
    def _faults_are_apart(self) -> Self:
        columns = [fault.column for fault in self.faults]
        twice = next((name for name in columns if columns.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"[[faults]] speaks twice of '{twice}'; say one fault of each column")
        return self

    @model_validator(mode="after")
    def _features_are_there(self) -> Self:
        features = self.features
        measured = {*self.signals, *features.derived}
        windows = [signal for group in features.windows for signal in group.signals]
        for name in (*(n for n in features.levels if n not in self.settings), *windows):
            if name not in measured:
                raise ValueError(f"[features] speaks of '{name}'{near_miss(name, measured)}")
        for name in self.admission.follow:
            if name not in self.settings:
                raise ValueError(f"[admission.follow] speaks of '{name}', which is no setting")
        return self

    @model_validator(mode="after")
    def _sets_are_whole(self) -> Self:
        features = self.features
        made = {
            window_column(signal, statistic)
            for group in features.windows
            for signal in group.signals
            for statistic in group.statistics
        }
        for key, kind in _ASKED.items():
            if key not in features.sets or features.sets[key].of != kind:
                raise ValueError(f"[features.sets] needs '{key}', of {kind}")
        for key, one in features.sets.items():
            held = set(features.levels) if one.of == "rows" else made
            for name in (*one.columns, *one.without):
                if name not in held:
                    raise ValueError(
                        f"[features.sets.{key}] speaks of '{name}'{near_miss(name, held)}"
                    )
            if not held - set(one.without):
                raise ValueError(f"[features.sets.{key}] has no column")
        return self

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of the columns of numbers, in the order of `signals`."""
        return tuple(self.signals)

    @property
    def raw(self) -> tuple[str, ...]:
        """Names of all columns that are read of a recording: numbers, then the phase."""
        return (*self.signals, self.phases.column)

    @property
    def in_files(self) -> tuple[str, ...]:
        """Names of those of them that files have: a phase may be given to all rows."""
        return self.raw if self.phases.recorded else self.numbers

    @property
    def shown(self) -> tuple[str, ...]:
        """Signals that are drawn where a recording is looked at: by default the first four."""
        chosen = tuple(name for name, signal in self.signals.items() if signal.shown)
        return chosen or tuple(self.signals)[:4]

    @property
    def verdict_rows(self) -> int | None:
        """How many judged rows at the end of a recording make its verdict; None: all of them.

        Where the tool wears out within recordings, what is asked is how it is at their end.
        """
        return self.features.window_rows if self.label.of == "row" else None

    @property
    def settings_told(self) -> str:
        """What a name of a setting such as "6/4" stands for: "feed rate in mm/s / ..."."""
        return " / ".join(
            (one.title or name) + (f" in {one.unit}" if one.unit else "")
            for name, one in self.settings.items()
        )

    @property
    def regime(self) -> tuple[str, ...]:
        """The setting by whose value behaviour is compared with itself: the first, if any."""
        return tuple(self.settings)[:1]

    @property
    def content(self) -> str:
        """The whole contract as one line of JSON, equal for equal contracts."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


def key_columns(dataset: DataSet) -> tuple[str, ...]:
    """Return the columns that each row of the features has beside them."""
    return (
        schema.SAMPLE_ID,
        schema.RUN_ID,
        schema.ROW,
        schema.TIME_INDEX,
        schema.EVENT_TIME,
        dataset.phases.column,
        schema.SETTING,
        *dataset.settings,
        schema.IS_ACTIVE,
        schema.IS_CUTTING,
        schema.IS_WINDOW,
        schema.LABEL,
    )


def published(dataset: DataSet, digest: str) -> Published | None:
    """Return the published figures if they were made on the data of this digest, else None."""
    found = dataset.published
    return found if found is not None and found.digest == digest else None


@cache
def default() -> DataSet:
    """Return the mill's contract."""
    return validated(_toml(FOLDER / DEFAULT / FILE))


def validated(values: Mapping[str, Any]) -> DataSet:
    """Return a whole contract from plain values.

    Raises:
        ValidationError: it is wrong.
    """
    whole = _filled(values)
    return DataSet.model_validate(whole, context=whole)


# Of recordings that do not say what the machine is doing.
_ONE_PHASE = {"column": "phase", "names": ("recorded",), "recorded": False}


def _filled(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values with what follows from others where it is not said."""
    if not isinstance(values, Mapping):
        return values
    phases = values.get("phases") or _ONE_PHASE
    rows = values.get("rows") or {}
    if not isinstance(phases, Mapping) or not isinstance(rows, Mapping):
        return values
    judged = rows.get("judged") or phases.get("names", ())
    return {**values, "phases": phases, "rows": {**rows, "judged": judged}}


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


_MOST_BYTES = 1 << 20


def stored(path: Path) -> DataSet:
    """Return the contract that `keep` has written.

    Raises:
        ToolwearError: it is damaged, or no regular file.
    """
    try:
        return validated(json.loads(read_regular(path, _MOST_BYTES)))
    except (OSError, ValueError):
        raise ToolwearError(
            f"{path} is no contract of a data set; finish a training run (toolwear run), which "
            "makes it anew."
        ) from None


def keep(dataset: DataSet, path: Path) -> None:
    """Write a contract to a file of its own."""
    jsonfile.write(path, dataset.model_dump(mode="json"))


def of(folder: Path) -> DataSet:
    """Return the contract by which the ingest or features step made `folder`, or raise."""
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise ToolwearError(f"{folder} is no telemetry folder: it lacks {manifest.name}.")
    return recorded(jsonfile.read(manifest).get("dataset"), str(folder))


def recorded(values: Any, where: str) -> DataSet:
    """Return the contract that was written with an artifact.

    Args:
        values: as `model_dump` gave them.
        where: the artifact, for people.

    Raises:
        ToolwearError: it is none, or one of another version.
    """
    try:
        return validated(values)
    except ValidationError as error:
        raise ToolwearError(
            f"{where} holds no data set's contract that this version reads "
            f"({sentence(error, DataSet).rstrip('.')}); make it anew, or use the version that "
            "wrote it."
        ) from None


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
    # Who names signals speaks of another machine, of which the mill's contract says nothing.
    base = {} if "signals" in values else default().model_dump(exclude_none=True)
    if "published" in values:
        base.pop("published", None)  # figures and their digest belong together
    said = values.get("recordings")
    if isinstance(said, Mapping):
        # One way of finding recordings takes the place of the other.
        for gone in ("files",) if "file" in said else ("file", "id") if "files" in said else ():
            base.get("recordings", {}).pop(gone, None)
    merged = _merged(base, values)
    try:
        return validated(merged)
    except ValidationError as error:
        raise ToolwearError(f"{source}: {sentence(error, DataSet)}") from None


def _merged(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in given.items():
        old = merged.get(key)
        if not isinstance(old, Mapping):
            merged[key] = value
        elif isinstance(value, Mapping):
            merged[key] = _merged(old, value)
        else:
            merged[key] = {**old, "column": value} if "column" in old else value
    return merged
