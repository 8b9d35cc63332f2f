"""Recordings that cannot carry a question: it is left out with its reason, the others go on."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.decide.evidence import Folders
from components.decide.step import decide
from components.evaluate.kubeflow import show
from components.evaluate.step import evaluate
from components.explain.step import explain
from components.features.step import features as make_features
from components.guard import logic, observe
from components.guard.rows import RowFacts
from components.ingest.step import ingest
from components.register import contents
from components.split.step import split as make_split
from components.train.step import train
from datasets.cnc_mill import names as mill
from tests.mill import MILL
from toolwear.common import jsonfile
from toolwear.common.digest import file_digest
from toolwear.common.errors import ToolwearError
from toolwear.common.thresholds import thresholds
from toolwear.dataset import schema
from toolwear.features.dataset import load
from toolwear.model.onnx_model import OnnxModel
from toolwear.model.package import CARD_FILE
from toolwear.release.decisions import KNOWN_RUNS_ONLY, Outcome
from toolwear.workspace.home import Home

pytestmark = pytest.mark.timeout(900)

SEARCH: dict[str, Any] = {
    "ensemble": [{"classifier": "random_forest"}],
    "leaderboard": [{"classifier": "random_forest", "cost": 0.1}],
    "counts": {"evaluations": 1},
    "settings": {"evaluations": 1, "space": {"classifier": ["random_forest"]}},
    "outer": [],
}
FITTING = RowFacts(rows=100, before=0.0, disagreement=0.0, per_run={}, other_label={})
UNSEEN = frozenset({schema.NEW_RUN, schema.NEW_SETTING})


@dataclass(frozen=True)
class Shape:
    """Recordings, and what is expected of them.

    Attributes:
        runs: numbers of real recordings.
        rows: which of their rows, by number of the run; all of them by default.
        setting: feed rate and clamp pressure of all; as recorded if None.
        window: rows.
        left_out: questions, each with words of its reason.
        untested: words of why labels were not permuted within settings; empty if they were.
    """

    runs: Sequence[int]
    left_out: dict[str, str]
    untested: str = ""
    rows: dict[int, slice] | None = None
    setting: tuple[float, float] | None = None
    window: int = 50


ONE_UNWORN_RUN = "Only the run 01 has rows with unworn tools"
SHAPES = {
    "one setting": Shape(
        (1, 3, 4, 6, 7, 8),
        {schema.NEW_SETTING: "All runs have the same setting (6/4)"},
        setting=(6, 4),
    ),
    "two runs": Shape(
        (1, 6),
        {
            schema.NEW_RUN: ONE_UNWORN_RUN,
            schema.NEW_SETTING: "All runs have the same setting (6/4)",
        },
        ONE_UNWORN_RUN,
    ),
    "every setting once": Shape((1, 2, 4, 9, 10, 15), {}, "No setting has runs of both classes"),
    "no window": Shape(
        (1, 2, 6, 9),
        dict.fromkeys(UNSEEN, "No run has a full window of cutting rows"),
        "No run has a full window",
        window=1000,
    ),
    "one row of a class": Shape(
        (1, 6, 9),
        {
            schema.KNOWN_RUNS: "held-back rows of the random split is unworn",
            schema.NEW_RUN: "No run with unworn tools has a row to judge",
            schema.NEW_SETTING: "No run with unworn tools has a row to judge",
        },
        "No run with unworn tools",
        rows={1: slice(0, 32)},  # of which one is in a layer phase
    ),
}


@dataclass(frozen=True)
class Made:
    """What the steps made of a shape."""

    shape: Shape
    folders: Folders
    models: Path
    decision: dict[str, Any]

    def json(self, folder: Path, name: str) -> Any:
        return jsonfile.read(folder / name)


def recordings(shape: Shape, real_data: Path, folder: Path) -> Path:
    folder.mkdir()
    table = pd.read_csv(real_data / mill.RUN_TABLE_FILE)
    table = table[table[mill.RUN_NUMBER].isin(shape.runs)]
    if shape.setting:
        table[list(mill.SETTING_COLUMNS)] = shape.setting
    table.to_csv(folder / mill.RUN_TABLE_FILE, index=False)
    for number in shape.runs:
        name = mill.RUN_FILE_PATTERN.format(number=number)
        lines = (real_data / name).read_text().splitlines()
        kept = lines[1:][(shape.rows or {}).get(number, slice(None))]
        (folder / name).write_text("\n".join([lines[0], *kept]) + "\n")
    return folder


def challenger(features: Path, models: Path, folder: Path) -> Path:
    """Stand in for the search: the forest, which has as many answers and takes a second."""
    folder.mkdir()
    graph = models / schema.KNOWN_RUNS / schema.PUBLISHED / f"{schema.RANDOM_FOREST}.onnx"
    shutil.copyfile(graph, folder / "model.onnx")
    samples = load(features, schema.PUBLISHED)
    model = OnnxModel(graph)
    answers = {schema.SAMPLE_ID: samples.frame[schema.SAMPLE_ID], "p": model.worn(samples.X)}
    pd.DataFrame(answers).to_parquet(folder / "native.parquet", index=False)
    found = pd.read_parquet(models / "predictions.parquet")
    found = found[(found["model"] == schema.RANDOM_FOREST)]
    known = found["protocol"].eq(schema.KNOWN_RUNS) & found["feature_set"].eq(schema.PUBLISHED)
    unseen = found["feature_set"].eq(schema.RESPONSE)
    found[known | unseen].assign(model=schema.AUTO_SKLEARN).to_parquet(
        folder / "predictions.parquet", index=False
    )
    digest = file_digest(folder / "model.onnx")
    agreement = {"label_agreement": 1.0, "max_abs_diff": 0.0}
    exported = {"sha256": digest, **agreement, "full_ensemble": agreement}
    jsonfile.write(folder / "export.json", exported)
    jsonfile.write(folder / "search.json", SEARCH)
    return folder


@pytest.fixture(scope="module", params=SHAPES)
def made(
    request: pytest.FixtureRequest,
    real_data: Path,
    empty_registry: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Made:
    """Return what the steps from ingest to the decision made of the recordings."""
    shape = SHAPES[request.param]
    at = tmp_path_factory.mktemp("shape")
    data = recordings(shape, real_data, at / "data")
    ingest(data=str(data), data_digest="", allow_simulator=False, output=at / "telemetry")
    make_features(at / "telemetry", True, shape.window, 25, at / "features")
    make_split(at / "telemetry", at / "features", 0, at / "split")
    train(at / "features", at / "split", 0, 2, at / "models")
    folders = Folders(
        evaluation=at / "evaluation",
        explanation=at / "explanation",
        split=at / "split",
        validation=at / "validation",
        features=at / "features",
        automl=challenger(at / "features", at / "models", at / "automl"),
    )
    evaluation = evaluate(
        folders.features, folders.split, at / "models", folders.automl, "", 0, folders.evaluation
    )
    shown = [Shown(at / f"shown-{number}") for number in range(3)]
    show(evaluation, folders.automl, *shown)
    explain(
        folders.features,
        folders.split,
        folders.automl,
        0,
        1,
        folders.explanation,
        at / "explanation.html",
    )
    jsonfile.write(folders.validation / "result.json", {"success": True})
    (at / "home").mkdir()
    shutil.copyfile(empty_registry, at / "home" / "mlflow.db")
    decide(folders, Home.at(at / "home"), "", "toolwear", "f" * 64, 0, at / "decision")
    decision = jsonfile.read(at / "decision" / "decision.json")
    return Made(shape, folders, at / "models", decision)


class Shown:
    """The part of KFP's metrics artifacts that the evaluation writes to."""

    def __init__(self, path: Path) -> None:
        self.path, self.metadata = str(path), dict[str, Any]()

    def log_metric(self, name: str, value: float) -> None:
        self.metadata[name] = value

    def log_roc_curve(self, *curve: Sequence[float]) -> None:
        assert all(np.isfinite(values).all() for values in curve)

    def log_confusion_matrix(self, _names: Sequence[str], counts: Sequence[Sequence[int]]) -> None:
        self.metadata["counts"] = counts


def test_what_cannot_be_asked_is_left_out_with_its_reason(made: Made) -> None:
    audit = made.json(made.folders.split, "audit.json")
    metrics = made.json(made.folders.evaluation, "metrics.json")
    expected = made.shape.left_out
    assert set(audit["left_out"]) == set(expected)
    assert all(words in audit["left_out"][name] for name, words in expected.items())
    assert metrics["left_out"] == made.decision["left_out"] == audit["left_out"]
    for protocol in schema.PROTOCOLS:
        assert bool(metrics["protocols"][protocol]) == (protocol not in expected)
    for protocol, words in expected.items():
        assert any(words in text for text in metrics["statements"])
        verdicts = audit["protocols"][protocol].values()
        assert any(not verdict["passed"] and verdict["reasons"] for verdict in verdicts)
    missing = re.compile(r"\bnan\b|\bNone\b(?! of the)")
    assert not [text for text in metrics["statements"] if missing.search(text)]


def test_the_test_against_chance_is_made_where_it_can_be(made: Made) -> None:
    permutation = made.json(made.models, "training.json")["permutation"]
    asked = UNSEEN - set(made.shape.left_out)
    assert set(permutation["observed"]) == asked
    assert (permutation["p"] is not None) == bool(asked)
    if made.shape.untested:
        assert permutation["left_out"]["within_setting"].startswith(made.shape.untested)
        assert permutation["within_setting"] == {"permutations": 0}
    else:
        assert permutation["left_out"] == {}


def test_what_was_not_asked_is_not_passed(made: Made) -> None:
    decision, shape = made.decision, made.shape
    reasons = " ".join(decision["reasons"])
    assert decision["use"] == KNOWN_RUNS_ONLY
    assert all(words in reasons for words in shape.left_out.values())
    assert shape.untested in reasons
    if schema.KNOWN_RUNS in shape.left_out:
        assert decision["decision"] == Outcome.REFUSE_THRESHOLD
        assert decision["checks"][0]["name"] == "Recall of known runs"
        assert not decision["checks"][0]["passed"]
    else:
        assert decision["checks"][0]["passed"]


def test_the_package_and_its_card_say_so_too(made: Made) -> None:
    folders = contents.Folders(
        evaluation=made.folders.evaluation,
        explanation=made.folders.explanation,
        split=made.folders.split,
        features=made.folders.features,
        automl=made.folders.automl,
        decision=made.models.parent / "decision",
    )
    lineage = contents.Lineage("commit", "f" * 64, "graph", 0, "on_demand")
    card = contents.gather(folders, lineage, "toolwear").files[CARD_FILE].decode()
    assert card.count("Not asked. ") == len(made.shape.left_out)
    assert all(words in card for words in made.shape.left_out.values())


def test_the_guard_can_judge_them(made: Made) -> None:
    runs = observe.read(made.models.parent / "telemetry")
    assert [run.run_id for run in runs] == [schema.run_id(number) for number in made.shape.runs]
    judged = logic.judge(runs, FITTING, None, thresholds().guard, MILL.admission)
    assert not [finding for finding in judged if finding.check != "dominating_run"]


def test_a_class_that_is_in_no_training_row_ends_the_training_with_a_sentence(
    real_data: Path, tmp_path: Path
) -> None:
    shape = Shape((1, 6), {}, rows={1: slice(0, 31)})
    data = recordings(shape, real_data, tmp_path / "data")
    ingest(data=str(data), data_digest="", allow_simulator=False, output=tmp_path / "telemetry")
    make_features(tmp_path / "telemetry", True, 50, 25, tmp_path / "features")
    make_split(tmp_path / "telemetry", tmp_path / "features", 0, tmp_path / "split")
    with pytest.raises(ToolwearError, match="All training rows have the same label"):
        train(tmp_path / "features", tmp_path / "split", 0, 0, tmp_path / "models")
