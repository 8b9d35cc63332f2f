"""The shape of `summary.json`, the machine-readable result. Additions only, never renames."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class Data(_Part):
    """What the run was trained on."""

    source: str = Field(description="folder, kaggle or simulator")
    digest: str = Field(description="SHA-256 over the names and bytes of the source files")
    rows: int
    runs: int
    warnings: list[str]


class Figures(BaseModel):
    """Figures of one model under one protocol; the unit of the interval is `unit`."""

    model_config = ConfigDict(extra="allow")

    accuracy: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    mcc: float | None
    auc: float | None
    interval: dict[str, Any] | None = Field(description="level, method and [low, high] by figure")
    unit: str = Field(description="rows or runs")
    n: int = Field(description="how many units were judged")
    feature_set: str | None


class Gate(_Part):
    """What was decided, what the model may be used for, and why."""

    decision: str
    use: str = Field(description="known_runs_only or new_runs")
    outcome: str = Field(description="what was done about the champion")
    reasons: list[str]


class Model(_Part):
    """The registered version."""

    name: str
    version: str
    sha256: str = Field(description="of model.onnx")
    package: str = Field(description="digest that names the model package")
    onnx_label_agreement: float
    onnx_max_abs_diff: float
    bytes: int = Field(description="of model.onnx")
    tree_nodes: int
    memory_mib: float = Field(description="by how much a process grows at most that serves it")
    milliseconds_per_row: float = Field(description="median over rows asked one at a time")


class Noise(_Part):
    """What noise without information does to the answers on the held-back rows."""

    rows: int
    changed: dict[str, float] = Field(description="share of labels by the kind of noise")
    changed_labels: float = Field(description="the largest of them")
    numerical: float = Field(description="the largest without a sensor's noise of 1e-3")
    last_digit_points: float = Field(
        description="of accuracy, lost to half of the last recorded digit"
    )


class Code(_Part):
    """What made the run repeatable."""

    commit: str
    graph_digest: str
    seed: int


class Summary(_Part):
    """The whole of `summary.json`."""

    data: Data
    protocols: dict[str, dict[str, Figures]]
    left_out: dict[str, str] = Field(description="why a question was not asked, by protocol")
    leakage: dict[str, Any]
    not_sure: dict[str, Any] = Field(
        description="band, what it reaches on test rows and on runs left out, and in words"
    )
    explanations: dict[str, dict[str, Any]] = Field(description="quality figures by method")
    gate: Gate
    model: Model
    noise: Noise
    behaviour: dict[str, Any] = Field(description="checks of behaviour: passed, of, checks")
    serve_check: dict[str, Any]
    statements: list[str] = Field(description="the result in plain words")
    timings: dict[str, float] = Field(description="seconds by step; 0 for a cached one")
    cached: list[str] = Field(description="steps that came from the cache")
    code: Code
