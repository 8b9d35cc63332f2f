"""The model's features in the words of the shop floor."""

from __future__ import annotations

from toolwear.dataset.contract import ALIAS, MAD, MEAN, STD, DataSet

_STATISTICS = {
    MEAN: "mean of the ",
    STD: "unsteadiness of the ",
    MAD: "flutter of the ",
    ALIAS: "shake, once a turn, of the ",
}


def in_words(dataset: DataSet, feature: str) -> str:
    """Return what a feature is, such as "unsteadiness of the spindle power".

    Args:
        dataset: contract that says what its signals and settings are called.
        feature: name of the feature.
    """
    signal, _, statistic = feature.rpartition("_")
    if statistic not in _STATISTICS or _title(dataset, feature):
        signal, statistic = feature, ""
    return f"{_STATISTICS.get(statistic, '')}{_title(dataset, signal) or feature.replace('_', ' ')}"


def _title(dataset: DataSet, name: str) -> str:
    if name in dataset.features.derived:
        return dataset.features.derived[name].title
    known = dataset.signals.get(name) or dataset.settings.get(name)
    return known.title if known is not None else ""
