"""The simulator's switches: one for each trap of the recordings, then wear, drift and faults."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from toolwear.dataset.run_table import MAXIMUM_RUN_NUMBER

RECORDED_RUNS = 18
BALANCED_RUNS = 20  # both classes at each of the ten recorded settings

# Sensors that may drift or fail.
Sensor = Literal[
    "X1_CurrentFeedback",
    "X1_DCBusVoltage",
    "X1_OutputCurrent",
    "X1_OutputVoltage",
    "Y1_CurrentFeedback",
    "Y1_DCBusVoltage",
    "Y1_OutputCurrent",
    "Y1_OutputVoltage",
    "S1_CurrentFeedback",
    "S1_DCBusVoltage",
    "S1_OutputCurrent",
    "S1_OutputVoltage",
    "S1_OutputPower",
]


class SimulatorSettings(BaseModel):
    """What to simulate. The defaults imitate the real recordings with all their traps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(0, ge=0, lt=2**31, description="Same seed, same bytes.")
    copies: int = Field(1, ge=1, description="How often the design of the runs is repeated.")
    runs: int = Field(
        0, ge=0, le=MAXIMUM_RUN_NUMBER, description="Number of runs; 0: as the copies have."
    )
    passes: int = Field(1, ge=1, description="How many work pieces a run cuts; longer runs.")
    balanced: bool = Field(
        False, description="Each setting with both classes, in random order, none aborted."
    )
    # What tells the label or the session without telling wear.
    z_leak: float = Field(
        0.2, ge=0, le=5, description="How much higher, in mm, worn tools cut; 0: no leak."
    )
    shuffle: bool = Field(True, description="Store runs from the second on in shuffled batches.")
    session: bool = Field(True, description="Let the mains voltage differ between sessions.")
    three_digits: bool = Field(True, description="Round to three significant digits, as recorded.")
    # Wear, and what else makes runs differ.
    wear_ripple: float = Field(
        0.10, ge=0, le=10, description="Share by which wear widens the spindle's speed ripple."
    )
    wear_power: float = Field(
        0.0, ge=-0.1, le=1, description="Power that wear adds in the cut, kW; to teach with."
    )
    run_variation: float = Field(
        1.0, ge=0, le=10, description="How much runs differ beside wear; 1: as recorded."
    )
    # Drift.
    drift_from_run: int = Field(0, ge=0, description="First run with drift; 0: none.")
    drift_mains_volts: float = Field(
        0.0, ge=-100, le=100, description="Shift of the mains from that run on, V."
    )
    drift_sensor_gain: float = Field(
        1.0, gt=0, le=100, description="Factor on the sensor from that run on."
    )
    drift_tool_offset: float = Field(
        0.0, ge=-5, le=5, description="Shift of the depth of worn tools from that run on, mm."
    )
    # Faults and poison.
    sensor: Sensor = Field("S1_OutputCurrent", description="The sensor that drifts and fails.")
    dropout_share: float = Field(0.0, ge=0, le=1, description="Rows in which the sensor reads 0.")
    stuck_run: int = Field(0, ge=0, description="Run whose sensor repeats one value; 0: none.")
    nan_share: float = Field(0.0, ge=0, le=1, description="Share of all cells left empty.")
    flipped_runs: float = Field(
        0.0, ge=0, le=1, description="Share of runs that get the wrong label: poison."
    )

    @model_validator(mode="after")
    def _check_runs(self) -> Self:
        if self.total_runs > MAXIMUM_RUN_NUMBER:
            raise ValueError(f"{self.total_runs} runs are more than {MAXIMUM_RUN_NUMBER}")
        if self.total_runs < 2 or (self.balanced and self.total_runs % 2):
            raise ValueError("at least two runs are needed, and an even number if balanced")
        return self

    @classmethod
    def without_traps(cls, **settings: Any) -> SimulatorSettings:
        """Return settings under which nothing but wear tells the label or the session."""
        clean = {"balanced": True, "z_leak": 0.0, "shuffle": False, "session": False}
        return cls.model_validate(clean | settings)

    @property
    def total_runs(self) -> int:
        """Number of runs."""
        return self.runs or self.copies * (BALANCED_RUNS if self.balanced else RECORDED_RUNS)

    def drifts(self, number: int) -> bool:
        """Return whether drift holds in a run."""
        return 0 < self.drift_from_run <= number
