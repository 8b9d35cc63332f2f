"""The summary and the page of a run, from the evidence of its steps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from components.report.summary import Code, Data, Figures, Gate, Model, Noise, Summary
from toolwear.dataset import schema
from toolwear.evaluation.headline import headline
from toolwear.explain.quality import quality_sentence

SIMULATED = "simulator"


@dataclass(frozen=True)
class Plot:
    """A picture of the page.

    Attributes:
        caption: what it shows.
        uri: its bytes as a data URI.
        width, height: in pixels.
        wide: it needs the whole width of the page.
    """

    caption: str
    uri: str
    width: int
    height: int
    wide: bool


@dataclass(frozen=True)
class Evidence:
    """What the steps found, as the JSON that they wrote."""

    data: dict[str, Any]
    validation: dict[str, Any]
    audit: dict[str, Any]
    search: dict[str, Any]
    export: dict[str, Any]
    evaluation: dict[str, Any]
    explanations: dict[str, Any]
    explained: dict[str, Any]
    decision: dict[str, Any]
    registration: dict[str, Any]
    check: dict[str, Any]
    outcome: str
    lineage: dict[str, Any]
    timings: dict[str, float]


def build_summary(evidence: Evidence) -> Summary:
    """Return the summary; raises pydantic's ValidationError if a step left out a figure."""
    data, decision, registration = evidence.data, evidence.decision, evidence.registration
    onnx = evidence.evaluation["onnx"]
    return Summary(
        data=Data(
            source=data["source"]["kind"],
            digest=data["digest"],
            rows=data["rows"],
            runs=data["runs"],
            warnings=data["warnings"],
        ),
        protocols={
            protocol: {name: Figures(**figures) for name, figures in models.items()}
            for protocol, models in evidence.evaluation["protocols"].items()
        },
        left_out=evidence.evaluation["left_out"],
        leakage=evidence.audit,
        not_sure={
            key: evidence.evaluation["coverage"][key]
            for key in ("band", "test", "unseen", "statements")
        },
        explanations={
            method: explained["quality"] for method, explained in evidence.explanations.items()
        },
        gate=Gate(
            decision=decision["decision"],
            use=decision["use"],
            outcome=evidence.outcome,
            reasons=decision["reasons"],
        ),
        model=Model(
            name=registration["name"],
            version=str(registration["version"]),
            sha256=registration["model_sha256"],
            package=registration["package_digest"],
            onnx_label_agreement=onnx["label_agreement"],
            onnx_max_abs_diff=onnx["max_abs_diff"],
            **decision["challenger"]["footprint"],
        ),
        noise=Noise(**evidence.evaluation["noise"]),
        behaviour=evidence.evaluation["behaviour"],
        serve_check=evidence.check,
        statements=evidence.evaluation["statements"],
        timings=evidence.timings,
        cached=[],
        code=Code(**evidence.lineage),
    )


def render(evidence: Evidence, summary: Summary, plots: dict[str, list[Plot]]) -> str:
    """Return the page as self-contained HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = _figure
    template = environment.get_template("report.html.j2")
    return template.render(
        evidence=evidence,
        summary=summary,
        plots=plots,
        protocols=schema.PROTOCOLS,
        published=any(
            f.model_dump()["published"]
            for models in summary.protocols.values()
            for f in models.values()
        ),
        models=schema.MODELS,
        asks=_QUESTIONS,
        slowest=max(evidence.timings.values(), default=1.0),
        first=headline(summary.model_dump()),
        quality_sentence=quality_sentence,
    )


_QUESTIONS = {
    schema.KNOWN_RUNS: "rows of runs that it was trained on (random row split)",
    schema.NEW_RUN: "runs that it was not trained on (leave one run out)",
    schema.NEW_SETTING: "combinations of settings that it was not trained on",
}


def _figure(value: Any, digits: int = 4) -> str:
    if value is None:
        return "n/a"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.2g}" if 0 < abs(value) < 10**-digits else f"{value:.{digits}f}"
    if isinstance(value, list | tuple):
        return " to ".join(_figure(item, digits) for item in value)
    return str(value)
