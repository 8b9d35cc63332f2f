"""Baselines and evaluation on the real recordings, through the KFP components."""

# Without `annotations` from __future__: kfp reads the types of the graph below as objects.

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kfp import dsl, local
from kfp.dsl import Artifact, Dataset, Model

from components.evaluate.component import evaluate
from components.evaluate.logic import Evidence, evaluate_all
from components.evaluate.step import calibration_rows
from components.train.component import train
from components.train.step import train as train_step
from tests.mill import KEY_COLUMNS, MILL
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.thresholds import thresholds
from toolwear.dataset import schema
from toolwear.dataset.contract import default
from toolwear.dataset.sources import source_digest
from toolwear.evaluation.protocols import assign, folds
from toolwear.features.dataset import load
from toolwear.model.onnx_model import OnnxModel

PUBLISHED = default().published
SEED, PERMUTATIONS = 0, 2
SEARCH: dict[str, Any] = {
    "ensemble": [{"classifier": "random_forest"}],
    "leaderboard": [{"classifier": "random_forest", "cost": 0.1}],
    "counts": {"evaluations": 1},
    "settings": {"evaluations": 1, "space": {"classifier": ["random_forest"]}},
    "outer": [],
}


@pytest.fixture(scope="module")
def split(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the real folds with as much of an audit as the evaluation reads."""
    folder = tmp_path_factory.mktemp("split")
    keys = pd.read_parquet(features / "training_set", columns=list(KEY_COLUMNS))
    assign(keys).to_parquet(folder / "splits.parquet", index=False)
    session = [{"column": load(features, schema.PUBLISHED).columns[1]}]
    jsonfile.write(
        folder / "audit.json",
        {
            "session_fingerprint": session,
            "neighbours": {"adjacent_share": 0.95},
            "left_out": {},
            "asked_of": {
                schema.KNOWN_RUNS: schema.PUBLISHED,
                schema.NEW_RUN: schema.RESPONSE,
                schema.NEW_SETTING: schema.RESPONSE,
            },
            "protocols": {schema.NEW_SETTING: {schema.PUBLISHED: {"reasons": ["It leaks."]}}},
        },
    )
    return folder


@pytest.fixture(scope="module")
def models(features: Path, split: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what the train component makes of the real recordings."""
    outputs = tmp_path_factory.mktemp("train") / "outputs"
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(outputs))

    @dsl.pipeline(name="train-alone")
    def graph(features: str, split: str) -> None:
        table = dsl.importer(artifact_uri=features, artifact_class=Dataset)
        parts = dsl.importer(artifact_uri=split, artifact_class=Artifact)
        train(features=table.output, split=parts.output, seed=SEED, permutations=PERMUTATIONS)

    graph(features=str(features), split=str(split))
    (found,) = outputs.glob("**/training.json")
    return found.parent


@pytest.fixture(scope="module")
def automl(features: Path, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a search's output whose challenger is the forest."""
    folder = tmp_path_factory.mktemp("automl")
    graph = models / schema.KNOWN_RUNS / schema.PUBLISHED / f"{schema.RANDOM_FOREST}.onnx"
    (folder / "model.onnx").write_bytes(graph.read_bytes())
    samples = load(features, schema.PUBLISHED)
    native = {
        schema.SAMPLE_ID: samples.frame[schema.SAMPLE_ID],
        "p": OnnxModel(graph).worn(samples.X),
    }
    pd.DataFrame(native).to_parquet(folder / "native.parquet", index=False)
    jsonfile.write(folder / "search.json", SEARCH)
    predictions = pd.read_parquet(models / "predictions.parquet")
    forest = predictions[predictions["model"] == schema.RANDOM_FOREST]
    known = forest["protocol"].eq(schema.KNOWN_RUNS) & forest["feature_set"].eq(schema.PUBLISHED)
    unseen = forest["feature_set"].eq(schema.RESPONSE) & forest["fold"].isin(["01", "07"])
    forest[known | unseen].assign(model=schema.AUTO_SKLEARN).to_parquet(
        folder / "predictions.parquet", index=False
    )
    return folder


@pytest.fixture(scope="module")
def evaluation(
    features: Path,
    split: Path,
    models: Path,
    automl: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Return what the evaluate component makes of them."""
    outputs = tmp_path_factory.mktemp("evaluate") / "outputs"
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(outputs))

    @dsl.pipeline(name="evaluate-alone")
    def graph(features: str, split: str, models: str, automl: str) -> None:
        evaluate(
            features=dsl.importer(artifact_uri=features, artifact_class=Dataset).output,
            split=dsl.importer(artifact_uri=split, artifact_class=Artifact).output,
            models=dsl.importer(artifact_uri=models, artifact_class=Model).output,
            automl=dsl.importer(artifact_uri=automl, artifact_class=Model).output,
            data_digest=PUBLISHED.digest if PUBLISHED else "",
            seed=SEED,
        )

    graph(features=str(features), split=str(split), models=str(models), automl=str(automl))
    (found,) = outputs.glob("**/abstention.json")
    return found.parent


@pytest.fixture(scope="module")
def metrics(evaluation: Path) -> dict[str, Any]:
    return jsonfile.read(evaluation / "metrics.json")


@pytest.fixture(scope="module")
def evidence(features: Path, split: Path, models: Path, automl: Path) -> Evidence:
    samples = load(features, schema.PUBLISHED)
    (fold,) = folds(schema.KNOWN_RUNS, samples, pd.read_parquet(split / "splits.parquet"))
    predictions = [pd.read_parquet(f / "predictions.parquet") for f in (models, automl)]
    return Evidence(
        predictions=pd.concat(predictions, ignore_index=True),
        samples=samples,
        fold=fold,
        calibration=calibration_rows(features, samples),
        native=pd.read_parquet(automl / "native.parquet"),
        graph=OnnxModel(automl / "model.onnx"),
        permutation=jsonfile.read(models / "training.json")["permutation"],
        session=[],
        adjacent=0.95,
        published=PUBLISHED,
        dataset=MILL,
        leaks=[],
        search=SEARCH,
        asked_of=jsonfile.read(split / "audit.json")["asked_of"],
        left_out={},
    )


def test_known_runs_reach_what_was_published(metrics: dict[str, Any]) -> None:
    known = metrics["protocols"][schema.KNOWN_RUNS]
    assert {known[name]["n"] for name in known} == {3504}
    assert 0.990 <= known[schema.RANDOM_FOREST]["accuracy"] <= 0.995
    assert 0.980 <= known[schema.DECISION_TREE]["accuracy"] <= 0.992
    assert not known[schema.RANDOM_FOREST]["published"]["differs"]
    assert known[schema.MAJORITY]["accuracy"] == pytest.approx(0.54, abs=0.001)
    for name in (schema.DECISION_TREE, schema.RANDOM_FOREST):
        for figure in ("accuracy", "precision", "recall", "f1", "mcc", "auc"):
            low, high = known[name]["interval"][figure]
            assert low <= known[name][figure] <= high


def test_new_runs_are_judged_run_by_run(metrics: dict[str, Any]) -> None:
    for protocol in (schema.NEW_RUN, schema.NEW_SETTING):
        models = metrics["protocols"][protocol]
        for name in (schema.NESTED, schema.LOGISTIC, schema.RANDOM_FOREST, schema.SETTINGS_ONLY):
            runs = models[name]["runs"]
            # One aborted run has no full window.
            assert (runs["of"], runs["there_are"]) == (17, 18)
            assert len(models[name]["per_run"]) == 17
            assert sum(item["correct"] for item in models[name]["per_run"]) == runs["correct"]
            assert runs["wilson"][0] <= runs["correct"] / 17 <= runs["wilson"][1]
    assert metrics["protocols"][schema.NEW_RUN][schema.AUTO_SKLEARN]["runs"]["of"] == 2


def test_the_matched_design_makes_settings_anti_predict(metrics: dict[str, Any]) -> None:
    figures = metrics["protocols"][schema.NEW_RUN][schema.SETTINGS_ONLY]
    assert figures["auc"] < 0.3
    assert figures["rows"]["auc"] < 0.3


def test_the_position_carries_the_published_accuracy_to_unseen_settings(
    metrics: dict[str, Any],
) -> None:
    sets = metrics["further"][schema.NEW_SETTING]
    leaky = sets[schema.PUBLISHED][schema.DECISION_TREE]
    without = sets["published_without_position"][schema.DECISION_TREE]
    assert leaky["auc"] > 0.95
    assert without["auc"] < 0.85


def test_chance_is_tested_on_all_that_was_tried(models: Path) -> None:
    result = jsonfile.read(models / "training.json")["permutation"]
    assert len(result["tried"]) == 5
    for kind, count in (("free", PERMUTATIONS), ("within_setting", PERMUTATIONS // 2)):
        assert result[kind]["permutations"] == count
        for statistic in ("runs_correct", "run_auc"):
            found = result[kind]["all"][statistic]
            assert 0 < found["p"] <= 1
            assert len(found["null"]) == count
            best = max(
                item[statistic] for of in result["observed"].values() for item in of.values()
            )
            assert found["observed"] == best
    assert "auto-sklearn" in result["note"]


def test_every_baseline_graph_agrees_with_its_model(models: Path, features: Path) -> None:
    training = jsonfile.read(models / "training.json")["models"]
    graphs = sorted(models.glob("**/*.onnx"))
    assert len(graphs) == 5
    samples = load(features, schema.PUBLISHED)
    for graph in graphs:
        details = training[graph.relative_to(models).with_suffix("").as_posix()]
        assert details["onnx"]["label_agreement"] == 1
        assert details["onnx"]["rows"] == len(samples.y)
        assert OnnxModel(graph).n_features == len(details["inputs"])
    assert not [path for path in models.rglob("*") if path.suffix in {".pkl", ".joblib"}]


def test_predictions_are_complete_and_out_of_fold(models: Path, split: Path) -> None:
    table = pd.read_parquet(models / "predictions.parquet")
    assert table["p"].between(0, 1).all()
    keys = ["protocol", "feature_set", "model", schema.SAMPLE_ID]
    assert not table.duplicated(keys).any()
    splits = pd.read_parquet(split / "splits.parquet").set_index(schema.SAMPLE_ID)
    known = table[table["protocol"] == schema.KNOWN_RUNS]
    assert set(splits.loc[known[schema.SAMPLE_ID], schema.KNOWN_RUNS]) == {"test"}
    new = table[table["protocol"] == schema.NEW_RUN]
    assert (new["fold"] == new[schema.RUN_ID]).all()


def test_thresholds_do_not_see_the_test_rows(evidence: Evidence, evaluation: Path) -> None:
    chosen = jsonfile.read(evaluation / "abstention.json")
    y = evidence.samples.y.copy()
    test = evidence.fold.test_index
    y[test] = np.random.default_rng(0).permutation(y[test])
    X = evidence.samples.X.copy()
    X[test] += 5.0
    mutated = dataclasses.replace(
        evidence,
        samples=dataclasses.replace(evidence.samples, X=X, y=y),
        predictions=evidence.predictions[evidence.predictions["protocol"] == schema.KNOWN_RUNS],
    )
    found = evaluate_all(mutated, thresholds(), SEED)
    for name in ("low", "high", "envelope", "band"):
        assert jsonfile.clean(found.abstention[name]) == chosen[name]
    # The figures on the test rows do see them.
    assert found.abstention["test"]["coverage"] != chosen["test"]["coverage"]


def test_not_sure_makes_the_answers_better(evaluation: Path, metrics: dict[str, Any]) -> None:
    chosen = jsonfile.read(evaluation / "abstention.json")
    test = chosen["test"]
    assert chosen["low"] < 0.5 < chosen["high"]
    assert 0.3 < test["coverage"] < 1
    assert (
        test["accuracy"] > metrics["protocols"][schema.KNOWN_RUNS][schema.AUTO_SKLEARN]["accuracy"]
    )
    assert len(chosen["envelope"]) == 12
    assert all(low <= high for low, high in chosen["envelope"].values())


def test_not_sure_is_asked_about_every_run_left_out(evaluation: Path) -> None:
    unseen = jsonfile.read(evaluation / "abstention.json")["unseen"]
    assert (unseen["runs"], unseen["there_are"], unseen["n"]) == (18, 18, 17_520)
    assert unseen["accuracy"] < unseen["target"]
    by_run = {item[schema.RUN_ID]: item for item in unseen["per_run"]}
    assert by_run["18"]["coverage"] > 0.5
    assert by_run["18"]["accuracy"] < 0.1


def test_the_published_figures_are_of_the_recordings_at_hand(real_data: Path) -> None:
    assert PUBLISHED is not None
    assert source_digest(real_data) == PUBLISHED.digest


def test_other_recordings_have_nothing_published_beside_them(evidence: Evidence) -> None:
    known = evidence.predictions[evidence.predictions["protocol"] == schema.KNOWN_RUNS]
    found = evaluate_all(
        dataclasses.replace(evidence, predictions=known, published=None), thresholds(), SEED
    )
    for figures in found.metrics["protocols"][schema.KNOWN_RUNS].values():
        assert figures["published"] is None
    assert not any("published" in sentence for sentence in found.metrics["statements"])


def test_the_graph_is_compared_and_its_golden_rows_repeat(
    evaluation: Path, automl: Path, metrics: dict[str, Any]
) -> None:
    assert metrics["onnx"]["label_agreement"] == 1
    assert metrics["onnx"]["rows"] == 17_520
    assert metrics["onnx"]["passed"]
    golden = jsonfile.read(evaluation / "golden.json")
    rows = np.array(golden["rows"])
    assert rows.shape == (16, 12)
    graph = OnnxModel(automl / "model.onnx")
    assert np.array_equal(graph.predict_proba(rows), np.array(golden["probabilities"]))
    assert graph.labels(rows).tolist() == golden["labels"]
    assert set(golden["y"]) == {0, 1}
    assert len({name.split(":")[0] for name in golden["sample_ids"]}) >= 8
    assert min(abs(p[1] - 0.5) for p in golden["probabilities"]) < 0.05


def test_behaviour_shows_what_the_model_rests_on(metrics: dict[str, Any]) -> None:
    checks = {item["name"]: item for item in metrics["behaviour"]["checks"]}
    assert checks["a row's answer does not depend on its neighbours"]["passed"]
    depth = next(item for name, item in checks.items() if name.startswith("the other tool's depth"))
    assert depth["value"] > 0.3
    assert not depth["passed"]
    # What fails is true of the data: none of the checks of the numbers does.
    assert {item["about"] for item in checks.values() if not item["passed"]} == {"data"}
    assert metrics["noise"]["changed_labels"] <= 0.001
    assert metrics["noise"]["last_digit_points"] < 0.1
    assert set(metrics["noise"]["changed"]) == {
        *("relative 1e-12", "relative 1e-09", "relative 1e-06", "relative 0.001", "float32")
    }
    assert any("are true of the data" in sentence for sentence in metrics["statements"])
    assert metrics["behaviour"]["of"] == len(checks) == 5 + 2 * 12


def test_pictures_and_sentences(evaluation: Path, metrics: dict[str, Any]) -> None:
    pictures = {path.stem for path in (evaluation / "plots").glob("*.png")}
    assert pictures == {
        *{"accuracy", "run_verdicts", "permutation", "roc", "precision_recall"},
        *{"calibration", "coverage", "confusion", "slices"},
    }
    first = metrics["statements"][0]
    assert first.startswith("On known runs")
    assert "of 3,504 held-back rows" in first
    assert any("with labels permuted over whole runs" in s.lower() for s in metrics["statements"])
    assert any("Only these 2 of 18 runs were left out" in s for s in metrics["statements"])


def test_answers_that_are_no_numbers_are_refused(evidence: Evidence) -> None:
    broken = evidence.predictions.assign(p=np.nan)
    with pytest.raises(ToolwearError, match="not a number; see its predictions"):
        evaluate_all(dataclasses.replace(evidence, predictions=broken), thresholds(), SEED)


def test_a_search_on_other_samples_is_refused(evidence: Evidence) -> None:
    native = evidence.native.assign(**{schema.SAMPLE_ID: "99:" + evidence.native.index.astype(str)})
    with pytest.raises(ToolwearError, match="made on other samples"):
        evaluate_all(dataclasses.replace(evidence, native=native), thresholds(), SEED)


def test_training_on_one_class_is_refused(features: Path, split: Path, tmp_path: Path) -> None:
    folder = tmp_path / "features" / "training_set"
    folder.mkdir(parents=True)
    table = pd.read_parquet(features / "training_set").assign(**{schema.LABEL: np.int8(1)})
    table.to_parquet(folder / "part-00000.parquet", index=False)
    shutil.copy(features / "manifest.json", folder.parent)
    with pytest.raises(ToolwearError, match="same label, so there is nothing to learn"):
        train_step(folder.parent, split, SEED, 0, tmp_path / "models")
    with pytest.raises(ToolwearError, match="permutations has to be 0 or more, not -1"):
        train_step(folder.parent, split, SEED, -1, tmp_path / "models")
