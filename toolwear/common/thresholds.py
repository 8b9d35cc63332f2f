"""The thresholds of every gate, read from the one reviewed file beside this module."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from toolwear.common.causes import Cause

FILE = Path(__file__).with_name("thresholds.yaml")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Validation(_Section):
    """When data is refused (critical) or only reported (warning)."""

    minimum_seconds_per_recording: float = Field(gt=0, allow_inf_nan=False)
    maximum_null_share: float = Field(ge=0, le=1)
    layer_agreement: float = Field(ge=0, le=1)


class Audit(_Section):
    """When a split or a column is held to leak."""

    single_column_run_auc: float = Field(gt=0.5, le=1)
    session_effect_sd: float = Field(gt=0)
    out_of_order_share: float = Field(gt=0, lt=1)
    copied_row_share: float = Field(gt=0, lt=1)
    confounded_share: float = Field(gt=0.5, le=1)
    confounded_p: float = Field(gt=0, lt=1)


class Guard(_Section):
    """When data is held to be poisoned, and may not teach."""

    label_disagreement: float = Field(gt=0, lt=0.5)
    same_recording: float = Field(gt=0, le=1)
    copied_row_share: float = Field(ge=0, lt=1)
    repeated_row_share: float = Field(ge=0, lt=1)
    same_turns: float = Field(gt=0, lt=1)
    same_scores: float = Field(gt=0, lt=1)
    same_keys: int = Field(ge=1)
    level_distance: float = Field(gt=0)
    level_width: float = Field(gt=0, lt=1)
    bus_width: float = Field(gt=0, lt=1)
    level_rows: int = Field(ge=1)
    level_runs: int = Field(ge=2)
    dominating_share: float = Field(gt=0, lt=1)
    dominating_times: float = Field(gt=1)
    arriving_share: float = Field(gt=0, le=1)
    vouch_for_new_runs: bool


class Export(_Section):
    """How far an exported graph may differ from the model that it was made from, and its size."""

    label_agreement: float = Field(ge=0, le=1)
    probability_tolerance: float = Field(gt=0)
    tree_nodes: int = Field(ge=1)
    full_ensemble_agreement: float = Field(ge=0, le=1)


class Decision(_Section):
    """What a challenger must show to become champion, and what it may then be used for."""

    non_inferiority_margin: float = Field(ge=0, le=1)
    new_run_accuracy_lower_bound: float = Field(ge=0, le=1)
    context_p: float = Field(gt=0, lt=1)
    permutation_p: float = Field(gt=0, lt=1)
    best_champion_margin: float = Field(ge=0, le=1)
    shap_exact_error: float = Field(gt=0)
    shap_deletion_gain: float = Field(ge=0, le=1)
    surrogate_fidelity: float = Field(ge=0, le=1)
    lime_rank_correlation: float = Field(ge=-1, le=1)
    lime_faithful_share: float = Field(ge=0, le=1)
    predict_milliseconds_per_row: float = Field(gt=0)
    noise_changed_labels: float = Field(ge=0, lt=1)
    new_data_runs: int = Field(ge=1)
    new_data_rows: int = Field(ge=1)


class Server(_Section):
    """Memory of a server, MiB."""

    limit_mib: int = Field(gt=0)
    without_model_mib: int = Field(gt=0)


class Serving(_Section):
    """What the servers' pods may use of memory, and what they need before any model."""

    memory_share: float = Field(gt=0, le=1)
    servers: dict[str, Server] = Field(min_length=1)


class Monitor(_Section):
    """When what is served has drifted from what the model was trained on."""

    window_rows: int = Field(ge=100)
    labelled_rows: int = Field(ge=20)
    idle_rows: int = Field(ge=100)
    alarms: int = Field(ge=1)
    of_windows: int = Field(ge=1)
    mean_psi_warning: float = Field(gt=0)
    mean_psi: float = Field(gt=0)
    max_psi: float = Field(gt=0)
    confidence_psi: float = Field(gt=0)
    abstention_excess: float = Field(gt=0, lt=1)
    attribution_moved: float = Field(gt=0, lt=1)
    session_notice: float = Field(ge=0)
    session_excess: float = Field(gt=0)
    zero_excess: float = Field(gt=0, lt=1)
    beyond_share: float = Field(gt=0, lt=1)
    accuracy_drop: float = Field(gt=0, lt=1)
    accuracy_p: float = Field(gt=0, lt=1)


class Tool(_Section):
    """When a machine's tool is held to be worn, and how many machines are watched."""

    window_rows: int = Field(ge=10)
    share: float = Field(gt=0.5, le=1)
    windows: int = Field(ge=1)
    of_windows: int = Field(ge=1)
    machines: int = Field(ge=1, le=1000)
    silent_seconds: float = Field(ge=0)


class Rollout(_Section):
    """When a candidate gets more of the traffic, becomes champion, or is dropped."""

    stages: tuple[int, ...] = Field(min_length=1)
    minimum_requests: int = Field(ge=1)
    minimum_recordings: int = Field(ge=2)
    minimum_seconds: float = Field(ge=0)
    recording_gap_seconds: float = Field(gt=0)
    undecided_seconds: float = Field(gt=0)
    ready_seconds: float = Field(gt=0)
    candidate_seconds: float = Field(gt=0)
    confidence: float = Field(gt=0.5, lt=1)
    failure_margin: float = Field(gt=0, lt=1)
    failures_in_a_row: int = Field(ge=1)
    latency_ratio: float = Field(ge=1)
    latency_slack_ms: float = Field(ge=0)
    slow_share: float = Field(gt=0, lt=1)
    abstention_margin: float = Field(gt=0, lt=1)
    disagreement: float = Field(gt=0, lt=1)

    @field_validator("stages")
    @classmethod
    def _grow(cls, stages: tuple[int, ...]) -> tuple[int, ...]:
        if list(stages) != sorted(set(stages)) or stages[0] < 1 or stages[-1] > 99:
            raise ValueError("stages have to be growing percentages from 1 to 99")
        return stages


class Cooldown(_Section):
    """Seconds from the start of a run to the next one of the same cause."""

    on_demand: float = Field(ge=0)
    schedule: float = Field(ge=0)
    new_data: float = Field(ge=0)
    degradation: float = Field(ge=0)
    distribution_change: float = Field(ge=0)

    def of(self, cause: Cause) -> float:
        """Return the seconds of a cause."""
        seconds: float = getattr(self, cause.value)
        return seconds


class Trigger(_Section):
    """How often and how patiently runs are started."""

    cooldown_seconds: Cooldown
    settle_seconds: float = Field(ge=0)
    alert_gap_seconds: float = Field(ge=0)
    retries: int = Field(ge=0, le=1)
    waiting: int = Field(ge=1)


class Budget(_Section):
    """What there may be of one kind; None: without a limit."""

    gigabytes: float | None = Field(ge=0, allow_inf_nan=False)
    days: float | None = Field(ge=0, allow_inf_nan=False)

    @property
    def bytes(self) -> float:
        """The gigabytes (10^9) in bytes; infinite without a limit."""
        return math.inf if self.gigabytes is None else self.gigabytes * 1e9


class Disk(_Section):
    """What a home may hold of each kind."""

    runs: Budget
    packages: Budget
    payloads: Budget
    reports: Budget
    verdicts: Budget


class Thresholds(_Section):
    """All sections of the file."""

    validation: Validation
    audit: Audit
    guard: Guard
    export: Export
    decision: Decision
    serving: Serving
    monitor: Monitor
    tool: Tool
    rollout: Rollout
    trigger: Trigger
    disk: Disk


@cache
def thresholds() -> Thresholds:
    """Return the thresholds; pydantic's error names a key that is unknown or out of range."""
    return Thresholds.model_validate(yaml.safe_load(FILE.read_text(encoding="utf-8")))
