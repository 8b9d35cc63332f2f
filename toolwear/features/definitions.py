"""The features that a data set's contract asks for: their names, what they are made of, and why.

Training, serving and Feast take them from here. A set is a promise about leakage, so each says in
one sentence what it is for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from toolwear.dataset import schema
from toolwear.dataset.contract import DataSet, FeatureSetOf, window_column
from toolwear.features.names import LEVELS_VIEW, VARIABILITY_VIEW


@dataclass(frozen=True)
class FeatureSet:
    """Columns that a model may be given, the rows that it is judged on, and what it is for.

    Attributes:
        columns: names of the features.
        samples_column: boolean key column that is true on this set's samples.
        view: name of the Feast view that its columns are served from.
        why: one sentence.
    """

    columns: tuple[str, ...]
    samples_column: str
    view: str
    why: str


@dataclass(frozen=True)
class Definitions:
    """The features of a data set.

    Args:
        dataset: its contract.
    """

    dataset: DataSet

    @cached_property
    def level_columns(self) -> tuple[str, ...]:
        """Features that are columns of a single row."""
        return self.dataset.features.levels

    @cached_property
    def window_columns(self) -> tuple[str, ...]:
        """Features that are statistics of a window."""
        return tuple(
            window_column(signal, statistic)
            for group in self.dataset.features.windows
            for signal in group.signals
            for statistic in group.statistics
        )

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """All features."""
        return (*self.level_columns, *self.window_columns)

    @cached_property
    def views(self) -> Mapping[str, tuple[str, ...]]:
        """Columns of each Feast view; the newest rows lie in one of them for each kind of set."""
        views = {LEVELS_VIEW: self.level_columns, VARIABILITY_VIEW: self.window_columns}
        return {name: columns for name, columns in views.items() if columns}

    @cached_property
    def sets(self) -> Mapping[str, FeatureSet]:
        """The feature sets by name."""
        return {name: self._set(one) for name, one in self.dataset.features.sets.items()}

    def _set(self, one: FeatureSetOf) -> FeatureSet:
        of_rows = one.of == "rows"
        held = self.level_columns if of_rows else self.window_columns
        columns = tuple(c for c in (one.columns or held) if c not in one.without)
        view = LEVELS_VIEW if of_rows else VARIABILITY_VIEW
        samples = schema.IS_ACTIVE if of_rows else schema.IS_WINDOW
        return FeatureSet(columns, samples, view, one.why)

    @cached_property
    def raw_signals(self) -> tuple[str, ...]:
        """Columns of the telemetry that features are made of, beside the limits of cutting."""
        features = self.dataset.features
        derived = features.derived
        windows = (signal for group in features.windows for signal in group.signals)
        names = (
            *(column for column in self.level_columns if column not in self.dataset.settings),
            *(column for one in derived.values() for column in (one.of, one.less)),
            *(signal for signal in windows if signal not in derived),
        )
        return tuple(dict.fromkeys(names))

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Columns that `compute.compute` must be given, beside the limits of cutting."""
        settings = (column for column in self.level_columns if column in self.dataset.settings)
        return (*self.raw_signals, *settings)

    def load_columns(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Return those of the features that tell how hard the machine works."""
        set_by_people = {
            *self.dataset.settings,
            *(one.read_by for one in self.dataset.settings.values()),
        }
        session = self.dataset.features.session
        return tuple(c for c in columns if c not in session and c not in set_by_people)


def definitions(dataset: DataSet) -> Definitions:
    """Return the features that a contract asks for; they are made once for each contract."""
    return _made(_Same(dataset))


class _Same:
    """A contract as a key: it holds dictionaries, so it has no hash of its own."""

    def __init__(self, dataset: DataSet) -> None:
        self.dataset = dataset

    def __hash__(self) -> int:
        return id(self.dataset)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.dataset is self.dataset


@lru_cache(maxsize=16)
def _made(key: _Same) -> Definitions:
    return Definitions(key.dataset)
