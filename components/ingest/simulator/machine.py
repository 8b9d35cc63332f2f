"""What the drives and the spindle show along a path; constants fitted to 17,234 cutting rows."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from components.core import schema
from components.ingest.simulator.design import Run
from components.ingest.simulator.path import Segment
from components.ingest.simulator.settings import SimulatorSettings

_REVOLUTIONS_PER_SECOND = 53.33
_SPINDLE_SPEED = 53.3  # as commanded
_SPINDLE_WRAP = 4294.97  # the counter's range, revolutions
_SAMPLES_PER_ALIAS = 3  # 16 revolutions in 3 samples: once per revolution shows every third row
_RIPPLE_SD = 34.6  # of the spindle's acceleration with an unworn tool
_RUN_TO_RUN = 0.05  # lognormal spread of that between runs
_STEP = 6.25  # quantisation of the accelerations
_BUS_AUTOCORRELATION = 0.97
# Per axis: current = offset + friction tanh(v/.2) + viscous v + inertial a + AR(1) noise; then
# voltage, link voltage and power as functions of it.
_AXES = {
    "X1": {
        "current": (0.08, 4.18, 0.163, 0.0047, 0.42, 2.10, 0.10),
        "voltage": (4.16, 1.39, 0.22),
        "link": (0.030, 0.0103, 0.0014),
        "power": (2.6e-4, -6e-5),
        "bus": 0.0,
    },
    "Y1": {
        "current": (-0.19, 4.69, 0.205, 0.0040, 0.56, 2.74, 0.21),
        "voltage": (2.61, 1.33, 0.61),
        "link": (0.0157, 0.0142, 0.0023),
        "power": (1.2e-4, -2e-5),
        "bus": -1.35,
    },
}  # fmt: skip


class Machine:
    """The mill during one run; call `show` for its stretches in time order."""

    def __init__(self, run: Run, settings: SimulatorSettings, rng: np.random.Generator) -> None:
        self._run, self._settings, self._rng = run, settings, rng
        self._row = 0
        self._angle = rng.uniform(0, _SPINDLE_WRAP)
        self._phase = rng.uniform(0, 2 * np.pi)
        self._states = {name: np.zeros(1) for name in (*_AXES, "bus")}
        self._offsets = {axis: rng.normal(0, spec["current"][6]) for axis, spec in _AXES.items()}
        self._power_offset = rng.normal(0, 0.0035)
        wear = 1 + settings.wear_ripple if run.worn else 1.0
        self._ripple = _RIPPLE_SD * wear * rng.lognormal(0, _RUN_TO_RUN)
        drifting = 0 < settings.drift_from_run <= run.number
        self._mains = run.mains + (settings.drift_mains_volts if drifting else 0.0)
        self._gain = settings.drift_current_gain if drifting else 1.0

    def show(self, segment: Segment) -> dict[str, np.ndarray]:
        """Return the telemetry of a stretch: arrays of one length by raw column."""
        rows = len(segment.feed)
        bus = self._mains + self._noise("bus", rows, _BUS_AUTOCORRELATION, 0.35)
        columns = self._axes(segment, bus)
        columns.update(self._spindle(segment, bus))
        columns[schema.PROGRAM_NUMBER] = np.ones(rows)
        columns[schema.SEQUENCE_NUMBER] = np.where(
            # The control shows a stale line in the first row of each second while it cuts.
            (np.arange(self._row, self._row + rows) % 10 == 0) & (segment.sequence >= 14),
            2.0,
            segment.sequence,
        )
        columns[schema.CURRENT_FEEDRATE] = segment.feed
        columns[schema.PHASE] = segment.phase
        self._row += rows
        return columns

    def _axes(self, segment: Segment, bus: np.ndarray) -> dict[str, np.ndarray]:
        rows, rng = len(segment.feed), self._rng
        moving = np.linalg.norm(segment.velocity, axis=1) > 0
        sd_velocity = np.where(moving, 0.02 + 0.09 * np.minimum(segment.feed, 20) / 6, 0.005)
        sd_acceleration = np.where(moving, 45 + 10.5 * np.minimum(segment.feed, 20), 5.0)
        acceleration = np.diff(segment.velocity, axis=0, prepend=segment.velocity[:1])
        acceleration /= schema.SAMPLE_PERIOD_SECONDS
        columns = {}
        for index, axis in enumerate(("X1", "Y1", "Z1")):
            quiet = 0.2 if axis == "Z1" else 1.0
            v = segment.velocity[:, index]
            a = acceleration[:, index]
            actual_v = v + rng.normal(0, 1, rows) * sd_velocity * quiet
            actual_a = a + rng.normal(0, 1, rows) * sd_acceleration * quiet
            columns[f"{axis}_ActualPosition"] = segment.position[:, index]
            columns[f"{axis}_ActualVelocity"] = actual_v
            columns[f"{axis}_ActualAcceleration"] = np.round(actual_a / _STEP) * _STEP
            columns[f"{axis}_CommandPosition"] = segment.position[:, index]
            columns[f"{axis}_CommandVelocity"] = v
            columns[f"{axis}_CommandAcceleration"] = a
            columns.update(self._drive(axis, actual_v, actual_a, bus))
        return columns

    def _drive(
        self, axis: str, v: np.ndarray, a: np.ndarray, bus: np.ndarray
    ) -> dict[str, np.ndarray]:
        rows, rng = len(v), self._rng
        if axis not in _AXES:  # the Z drive was not recorded
            names = ("CurrentFeedback", "DCBusVoltage", "OutputCurrent", "OutputVoltage")
            return {f"{axis}_{name}": np.zeros(rows) for name in names}
        spec = _AXES[axis]
        offset, friction, viscous, inertial, rho, sd, _ = spec["current"]
        current = offset + self._offsets[axis] + friction * np.tanh(v / 0.2) + viscous * v
        current += inertial * a + self._noise(axis, rows, rho, sd)
        load = np.abs(current)
        base, by_speed, by_load = spec["voltage"]
        link, link_load, link_speed = spec["link"]
        standing, lost = spec["power"]
        return {
            f"{axis}_CurrentFeedback": current * self._gain,
            f"{axis}_DCBusVoltage": np.abs(
                link + link_load * load + link_speed * np.abs(v) + rng.normal(0, 0.013, rows)
            ),
            f"{axis}_OutputCurrent": np.round(bus + spec["bus"]),
            f"{axis}_OutputVoltage": np.abs(
                base + by_speed * np.abs(v) + by_load * load + rng.normal(0, 1.7, rows)
            ),
            f"{axis}_OutputPower": standing
            + 4e-5 * current * v
            + lost * load
            + rng.normal(0, 3e-4, rows),
        }

    def _spindle(self, segment: Segment, bus: np.ndarray) -> dict[str, np.ndarray]:
        rows, rng = len(segment.feed), self._rng
        on = float(segment.spinning)
        k = np.arange(self._row, self._row + rows)
        turns = on * _REVOLUTIONS_PER_SECOND * schema.SAMPLE_PERIOD_SECONDS
        angle = self._angle + turns * np.arange(1, rows + 1)
        self._angle = float(angle[-1]) if rows else self._angle
        wrapped = np.mod(angle, _SPINDLE_WRAP) - _SPINDLE_WRAP / 2
        once = np.cos(2 * np.pi * k / _SAMPLES_PER_ALIAS + self._phase)
        power = 0.1717 + 6.9e-4 * np.minimum(segment.feed, 20) + self._power_offset
        power = power + 0.0155 * once + rng.normal(0, 0.0145, rows)
        power += self._settings.wear_power * self._run.worn
        power = on * power + (1 - on) * rng.normal(0, 1e-6, rows)
        current = on * (0.76 + 114.5 * power + rng.normal(0, 2.94, rows))
        current = current + (1 - on) * rng.normal(0, 0.4, rows)
        return {
            "S1_ActualPosition": wrapped,
            "S1_ActualVelocity": on * _SPINDLE_SPEED + rng.normal(0, 0.08 * on + 0.001, rows),
            "S1_ActualAcceleration": rng.normal(0, self._ripple * on + 0.3, rows),
            "S1_CommandPosition": wrapped + 0.4 * on,
            "S1_CommandVelocity": np.full(rows, on * _SPINDLE_SPEED),
            "S1_CommandAcceleration": np.zeros(rows),
            "S1_CurrentFeedback": current,
            "S1_DCBusVoltage": on * np.abs(0.027 + 5.06 * power + rng.normal(0, 0.007, rows)),
            "S1_OutputCurrent": np.round(
                bus - on * (5.2 + 31.7 * (power - 0.174)) + rng.normal(0, 2.1 * on, rows)
            ),
            "S1_OutputVoltage": on
            * (117.4 + 0.06 * np.minimum(segment.feed, 20) + rng.normal(0, 2.2, rows)),
            "S1_OutputPower": power,
            "S1_SystemInertia": np.full(rows, 12.0),
        }

    def _noise(self, name: str, rows: int, rho: float, sd: float) -> np.ndarray:
        """Return first-order autoregressive noise that goes on where the last stretch ended."""
        innovations = self._rng.normal(0, sd * np.sqrt(1 - rho**2), rows)
        noise, self._states[name] = lfilter([1.0], [1.0, -rho], innovations, zi=self._states[name])
        return np.asarray(noise)
