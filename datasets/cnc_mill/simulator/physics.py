"""What the sensors read while a program runs: currents, voltages, powers, the spindle's ripple."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from datasets.cnc_mill import names
from datasets.cnc_mill.simulator import constants as c
from datasets.cnc_mill.simulator.design import PlannedRun
from datasets.cnc_mill.simulator.digits import three_digits
from datasets.cnc_mill.simulator.program import Program
from datasets.cnc_mill.simulator.settings import SimulatorSettings

_AXIS_NAMES = ("X1", "Y1", "Z1")
_MOTIONS = ("Position", "Velocity", "Acceleration")
_POWERED_AXES = 2  # the recordings hold no electrical values of Z
_NOISES = 24
_RUN_STREAM = 0


@dataclass(frozen=True)
class _RunTraits:
    """How one run differs from the others beside wear."""

    current: tuple[float, float]
    power: float
    ripple: float
    phase: float
    turns: float


class RunPhysics:
    """One run's sensors, block by block: the state of all slow processes is kept between calls."""

    def __init__(self, run: PlannedRun, program: Program, settings: SimulatorSettings) -> None:
        self._run, self._program, self._settings = run, program, settings
        self._rng = np.random.default_rng((settings.seed, _RUN_STREAM, run.number))
        self._traits = self._draw_traits()
        self._slow = np.zeros((3, 1))  # AR(1) states: current of X and of Y, mains
        self._row = 0

    def rows(self, count: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return the next rows as columns by name, and their phases as indices.

        The order is that of time. Columns are float64 of shape (count,).
        """
        program = self._program
        index = np.arange(self._row, self._row + count)
        piece, at = np.divmod(index, program.rows)
        noise = _Noise(self._rng.standard_normal((_NOISES, count), dtype=np.float32))
        columns = self._exact(index, at)
        noisy = self._axes(at, noise) | self._spindle(index, piece, at, noise)
        self._mains(noisy, at, noise)
        if self._settings.three_digits:
            rounded = three_digits(np.stack(list(noisy.values())))
            noisy = dict(zip(noisy, rounded, strict=True))
        self._row += count
        return columns | noisy, program.phase[at]

    def _draw_traits(self) -> _RunTraits:
        spread = self._settings.run_variation
        draw = self._rng.standard_normal(4) * spread
        ripple = np.exp(draw[3] * c.RIPPLE_RUN_SD)
        return _RunTraits(
            current=(draw[0] * c.AXIS_CURRENT[0][-1], draw[1] * c.AXIS_CURRENT[1][-1]),
            power=draw[2] * c.POWER_RUN_SD + self._settings.wear_power * self._run.worn,
            ripple=c.RIPPLE_SD * ripple * (1 + self._settings.wear_ripple * self._run.worn),
            phase=float(self._rng.uniform(0, 2 * np.pi)),
            turns=float(self._rng.uniform(0, c.SPINDLE_WRAP)),
        )

    def _exact(self, index: np.ndarray, at: np.ndarray) -> dict[str, np.ndarray]:
        program, count = self._program, len(at)
        columns = {}
        for axis, name in enumerate(_AXIS_NAMES):
            columns[f"{name}_ActualPosition"] = program.actual[axis][at]
            for motion, values in zip(_MOTIONS, program.command, strict=True):
                columns[f"{name}_Command{motion}"] = values[axis][at]
        for motion, values in zip(_MOTIONS[1:], program.spindle, strict=True):
            columns[f"S1_Command{motion}"] = values[at]
        nothing = np.zeros(count)
        for drive in ("CurrentFeedback", "DCBusVoltage", "OutputCurrent", "OutputVoltage"):
            columns[f"Z1_{drive}"] = nothing
        columns["S1_SystemInertia"] = np.full(count, c.SYSTEM_INERTIA)
        columns[names.PROGRAM_NUMBER] = np.full(count, c.PROGRAM)
        stale = index % c.BATCH_ROWS == 0
        columns[names.SEQUENCE_NUMBER] = np.where(stale, c.STALE_LINE, program.line[at])
        columns[names.CURRENT_FEEDRATE] = program.feedrate[at]
        return columns

    def _axes(self, at: np.ndarray, noise: _Noise) -> dict[str, np.ndarray]:
        program, feed = self._program, self._run.feedrate
        columns = {}
        active = np.maximum(program.feeding, c.IDLE_NOISE)[at]
        for axis, name in enumerate(_AXIS_NAMES):
            # Z hardly moves while the others feed.
            loose = active if axis < _POWERED_AXES else active * c.Z_NOISE
            velocity = program.velocity[axis][at] + noise.next() * loose * (0.02 + 0.09 * feed)
            acceleration = program.acceleration[axis][at] + noise.next() * loose * (
                45 + 10.5 * feed
            )
            acceleration = np.rint(acceleration / c.ACCELERATION_STEP) * c.ACCELERATION_STEP
            columns[f"{name}_ActualVelocity"] = velocity
            columns[f"{name}_ActualAcceleration"] = acceleration
            if axis < _POWERED_AXES:
                columns |= self._drive(axis, name, velocity, acceleration, active, noise)
        return columns

    def _drive(
        self,
        axis: int,
        name: str,
        velocity: np.ndarray,
        acceleration: np.ndarray,
        active: np.ndarray,
        noise: _Noise,
    ) -> dict[str, np.ndarray]:
        offset, friction, per_v, per_a, rho, sd, _ = c.AXIS_CURRENT[axis]
        slow = self._autoregress(axis, noise.next(), rho, sd)
        current = (
            (offset + self._traits.current[axis] + slow) * active
            + friction * np.tanh(velocity / c.FRICTION_VELOCITY)
            + per_v * velocity
            + per_a * acceleration
        )
        size, speed = np.abs(current), np.abs(velocity)
        volts, bus, power = c.AXIS_VOLTAGE[axis], c.AXIS_DC_BUS[axis], c.AXIS_POWER[axis]
        voltage = volts[0] * active + volts[1] * speed + volts[2] * size
        dc_bus = bus[0] + bus[1] * size + bus[2] * speed
        watts = power[0] * active + power[1] * current * velocity + power[2] * size
        return {
            f"{name}_CurrentFeedback": current,
            f"{name}_OutputVoltage": np.abs(voltage + noise.next() * active * c.AXIS_VOLTAGE_SD),
            f"{name}_DCBusVoltage": np.abs(dc_bus + noise.next() * active * c.AXIS_DC_BUS_SD),
            f"{name}_OutputPower": watts + noise.next() * active * c.AXIS_POWER_SD,
        }

    def _spindle(
        self, index: np.ndarray, piece: np.ndarray, at: np.ndarray, noise: _Noise
    ) -> dict[str, np.ndarray]:
        program, feed, traits = self._program, self._run.feedrate, self._traits
        speed, acceleration = program.spindle[0][at], program.spindle[1][at]
        on = speed / c.SPINDLE_SPEED
        turns = traits.turns + program.turns[at] + piece * program.turns_in_all
        # Once per revolution: 16 revolutions in three samples alias to a third of the sample rate.
        alias = np.cos(index * (2 * np.pi / 3) + traits.phase)
        power = on * (
            c.POWER_BASE
            + c.POWER_PER_FEED * feed
            + traits.power * program.cutting[at]
            + c.POWER_ONCE_PER_REVOLUTION * alias
            + c.POWER_SD * noise.next()
        )
        lag = c.FOLLOWING_LAG * speed
        return {
            "S1_ActualPosition": _counter(turns - lag),
            "S1_CommandPosition": _counter(turns),
            "S1_ActualVelocity": speed + on * c.SPINDLE_SPEED_SD * noise.next(),
            "S1_ActualAcceleration": acceleration
            + on * (c.SPINDLE_ACCELERATION_MEAN + traits.ripple * noise.next()),
            "S1_CurrentFeedback": 0.17 + on * (0.59 + 2.94 * noise.next()) + 114.5 * power,
            "S1_DCBusVoltage": np.abs(on * (0.027 + 0.007 * noise.next()) + 5.06 * power),
            "S1_OutputVoltage": np.abs(on * (117.4 + 0.06 * feed + 2.2 * noise.next())),
            "S1_OutputPower": power,
        }

    def _mains(self, columns: dict[str, np.ndarray], at: np.ndarray, noise: _Noise) -> None:
        """Add what the drives call output current: it follows the mains and the spindle's load."""
        on = self._program.spindle[0][at] / c.SPINDLE_SPEED
        mains = self._run.mains + c.MAINS_WITHOUT_SPINDLE * (1 - on)
        mains = mains + self._autoregress(2, noise.next(), c.MAINS_AR, c.MAINS_SD)
        load = columns["S1_OutputPower"] - on * c.POWER_BASE
        columns["X1_OutputCurrent"] = np.rint(mains)
        columns["Y1_OutputCurrent"] = np.rint(mains - c.MAINS_Y_BELOW_X * on)
        columns["S1_OutputCurrent"] = np.rint(
            mains
            - on * c.MAINS_SPINDLE_BELOW_X
            - c.MAINS_PER_POWER * load
            + on * c.MAINS_SPINDLE_SD * noise.next()
        )

    def _autoregress(self, which: int, noise: np.ndarray, rho: float, sd: float) -> np.ndarray:
        """Return a stationary AR(1) process of standard deviation `sd`, going on from last time."""
        scale = sd * np.sqrt(1 - rho**2)
        values, self._slow[which] = lfilter([1.0], [1.0, -rho], noise * scale, zi=self._slow[which])
        return values


class _Noise:
    """Rows of one block of random numbers, handed out one after the other."""

    def __init__(self, block: np.ndarray) -> None:
        self._rows = iter(block)

    def next(self) -> np.ndarray:
        return next(self._rows)


def _counter(turns: np.ndarray) -> np.ndarray:
    """Return revolutions as the spindle's counter shows them, which wraps."""
    half = c.SPINDLE_WRAP / 2
    return (turns + half) % c.SPINDLE_WRAP - half
