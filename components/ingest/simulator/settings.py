"""The simulator's switches: one for each trap of the real recordings, and some faults on top."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SimulatorSettings(BaseModel):
    """What to simulate. The defaults imitate the real recordings with all their traps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(0, ge=0, description="Same seed, same bytes.")
    copies: int = Field(1, ge=1, description="How often the design of 18 runs is repeated.")
    passes: int = Field(1, ge=1, description="How often each run cuts its layers; longer runs.")
    balanced: bool = Field(
        False, description="Each setting with both classes, in random order, none aborted."
    )
    z_leak: float = Field(
        0.2, ge=0, description="How much higher, in mm, worn tools are set; 0: no leak."
    )
    shuffle: bool = Field(True, description="Store runs from the second on in shuffled batches.")
    session: bool = Field(True, description="Let the mains voltage differ between sessions.")
    three_digits: bool = Field(True, description="Round to three significant digits, as recorded.")
    wear_ripple: float = Field(
        0.10, ge=0, description="Share by which a worn tool widens the spindle's speed ripple."
    )
    wear_power: float = Field(
        0.0, description="Spindle power that a worn tool needs more, kW; a signal for teaching."
    )
    drift_from_run: int = Field(0, ge=0, description="First run with drift; 0: none.")
    drift_mains_volts: float = Field(0.0, description="Shift of the mains from that run on, V.")
    drift_current_gain: float = Field(
        1.0, gt=0, description="Factor on the axes' current sensors from that run on."
    )
    drift_tool_offset: float = Field(0.0, description="Shift of Z from that run on, mm.")
    dropout_share: float = Field(0.0, ge=0, le=1, description="Rows with a zero spindle current.")
    nan_share: float = Field(0.0, ge=0, le=1, description="Rows with an empty X position.")
    stuck_run: int = Field(0, ge=0, description="Run whose X current sticks; 0: none.")
    flipped_runs: float = Field(
        0.0, ge=0, le=1, description="Share of runs that get the wrong label: poison."
    )
