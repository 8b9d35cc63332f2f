"""The model's features in the words of the shop floor."""

from __future__ import annotations

from toolwear.dataset import schema
from toolwear.features.definitions import ALIAS, MAD, STD

_PARTS = {"X1": "X axis", "Y1": "Y axis", "Z1": "Z axis", "S1": "spindle"}
_QUANTITIES = {
    "ActualPosition": "position",
    "ActualVelocity": "speed",
    "ActualAcceleration": "acceleration",
    "CommandPosition": "programmed position",
    "CommandVelocity": "programmed speed",
    "CommandAcceleration": "programmed acceleration",
    "CurrentFeedback": "motor current",
    "DCBusVoltage": "drive's supply voltage",
    "OutputCurrent": "drive current",
    "OutputVoltage": "drive voltage",
    "OutputPower": "power",
    "SystemInertia": "inertia",
    "VelocityError": "lag behind the programmed speed",
}
_OTHERS = {
    schema.PROGRAM_NUMBER: "program number",
    schema.SEQUENCE_NUMBER: "line of the program",
    schema.CURRENT_FEEDRATE: "feed rate that the control reads",
    schema.FEEDRATE: "feed rate",
    schema.CLAMP_PRESSURE: "clamp pressure",
}
_STATISTICS = {
    STD: "unsteadiness of the ",
    MAD: "flutter of the ",
    ALIAS: "shake, once a turn, of the ",
}


def in_words(feature: str) -> str:
    """Return what a feature is, such as "unsteadiness of the spindle power"."""
    if feature in _OTHERS:
        return _OTHERS[feature]
    signal, _, statistic = feature.rpartition("_")
    if statistic not in _STATISTICS:
        signal, statistic = feature, ""
    part, _, quantity = signal.partition("_")
    if part not in _PARTS or quantity not in _QUANTITIES:
        return feature.replace("_", " ")
    return f"{_STATISTICS.get(statistic, '')}{_PARTS[part]} {_QUANTITIES[quantity]}"
