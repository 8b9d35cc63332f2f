"""The component on small artifacts, and the step on the real recordings."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

from components.explain.step import explain
from datasets.cnc_mill import names as mill
from tests.mill import FEATURE_SETS, FEATURES_MANIFEST
from toolwear.common import jsonfile
from toolwear.common.digest import file_digest
from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema
from toolwear.evaluation.protocols import assign, folds
from toolwear.features.dataset import TRAINING_SET, Samples, load
from toolwear.model.onnx_graph import constant_model, to_bytes
from toolwear.model.onnx_trees import forest_model

COLUMNS = FEATURE_SETS[schema.PUBLISHED].columns
METHODS = {"shap", "lime", "anchor", "ice", "pdp", "surrogate"}
PLOTS = {"1_shap_summary", "2_ice_and_pdp", "3_surrogate_tree", "4_anchor_rules"}


def write_split(keys: pd.DataFrame, folder: Path) -> None:
    folder.mkdir()
    assign(keys).to_parquet(folder / "splits.parquet")


def write_forest(samples: Samples, splits: Path, folder: Path, trees: int) -> None:
    (fold,) = folds(schema.KNOWN_RUNS, samples, pd.read_parquet(splits / "splits.parquet"))
    train = fold.train_index
    forest = RandomForestClassifier(trees, min_samples_leaf=3, random_state=0)
    forest.fit(samples.X[train], samples.y[train])
    folder.mkdir()
    model = forest_model(forest.estimators_, samples.X)
    (folder / "model.onnx").write_bytes(to_bytes(model))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with small features, split and automl artifacts; column 0 tells the label."""
    folder = tmp_path_factory.mktemp("explain")
    draw = np.random.default_rng(0)
    rows, runs = 100, 6
    frames = []
    for number in range(1, runs + 1):
        run = schema.run_id(number)
        frame = pd.DataFrame(draw.normal(size=(rows, len(COLUMNS))), columns=list(COLUMNS))
        frame[COLUMNS[0]] += 2 * (number % 2)
        frame[schema.RUN_ID] = run
        frame[schema.ROW] = frame[schema.TIME_INDEX] = np.arange(rows)
        frame[schema.SAMPLE_ID] = [schema.sample_id(run, i) for i in range(rows)]
        frame[schema.EVENT_TIME] = pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(
            np.arange(rows) * 100, unit="ms"
        )
        frame[mill.PHASE] = mill.ACTIVE_PHASES[0]
        frame[mill.FEEDRATE] = 6.0
        frame[mill.CLAMP_PRESSURE] = 3.0
        frame[schema.SETTING] = schema.setting((6, 3))
        for flag in (schema.IS_ACTIVE, schema.IS_CUTTING, schema.IS_WINDOW):
            frame[flag] = True
        frame[schema.LABEL] = number % 2
        frames.append(frame)
    table = pd.concat(frames, ignore_index=True)
    (folder / "features" / TRAINING_SET).mkdir(parents=True)
    table.to_parquet(folder / "features" / TRAINING_SET / "part-00000.parquet")
    jsonfile.write(folder / "features" / "manifest.json", FEATURES_MANIFEST)
    write_split(table, folder / "split")
    samples = load(folder / "features", schema.PUBLISHED)
    write_forest(samples, folder / "split", folder / "automl", trees=10)
    return folder


def test_the_component_writes_envelopes_findings_pictures_and_a_page(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kfp import dsl, local
    from kfp.dsl import Artifact, Dataset, Model

    from components.explain.component import explain as component

    monkeypatch.chdir(tmp_path)
    local.init(
        local.SubprocessRunner(use_venv=False),
        pipeline_root=str(tmp_path / "artifacts"),
        enable_caching=False,
    )

    @dsl.pipeline(name="explain-alone")
    def alone(features: str, split: str, automl: str) -> None:
        table = dsl.importer(artifact_uri=features, artifact_class=Dataset)
        divided = dsl.importer(artifact_uri=split, artifact_class=Artifact)
        model = dsl.importer(artifact_uri=automl, artifact_class=Model)
        component(features=table.output, split=divided.output, automl=model.output, seed=3, rows=2)

    alone(
        features=str(small / "features"),
        split=str(small / "split"),
        automl=str(small / "automl"),
    )
    (output,) = (tmp_path / "artifacts").rglob("explanation")
    (page,) = (tmp_path / "artifacts").rglob("page")
    methods = jsonfile.read(output / "explanations.json")
    assert set(methods) == METHODS
    digest = file_digest(small / "automl" / "model.onnx")
    for name, item in methods.items():
        assert item["meta"]["method"] == name
        assert item["meta"]["model_sha256"] == digest
        assert item["meta"]["seed"] == 3
    manifest = jsonfile.read(output / "manifest.json")
    assert len(manifest["rows"]) == 2
    assert manifest["findings"][0].startswith(f"{COLUMNS[0]} carries ")
    assert {path.stem for path in (output / "plots").glob("*.png")} >= PLOTS
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/png;base64,") == len(list((output / "plots").iterdir()))
    assert manifest["findings"][0] in text
    # Nothing on the page is loaded from elsewhere.
    assert "http" not in text


def test_the_same_seed_gives_the_same_explanation(small: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        explain(
            small / "features",
            small / "split",
            small / "automl",
            seed=0,
            rows=1,
            output=tmp_path / name,
            page=tmp_path / f"{name}.html",
        )
    one, two = tmp_path / "one", tmp_path / "two"
    written = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert len(written) == 3 + len(PLOTS) + 1
    for path in written:
        assert (one / path).read_bytes() == (two / path).read_bytes()


def test_the_real_model_is_seen_to_lean_on_the_depth_of_the_cut(
    features: Path, tmp_path: Path
) -> None:
    samples = load(features, schema.PUBLISHED)
    write_split(samples.frame, tmp_path / "split")
    write_forest(samples, tmp_path / "split", tmp_path / "automl", trees=30)
    output = tmp_path / "explanation"
    explain(
        features,
        tmp_path / "split",
        tmp_path / "automl",
        seed=0,
        rows=4,
        output=output,
        page=tmp_path / "page.html",
    )
    manifest = jsonfile.read(output / "manifest.json")
    methods = jsonfile.read(output / "explanations.json")
    shares = {
        name: figures["share"]
        for name, figures in manifest["attribution_reference"]["features"].items()
    }
    top = max(shares, key=lambda name: shares[name])
    told = " ".join(manifest["findings"])
    assert top == "Z1_ActualPosition"
    assert shares[top] > 2 * sorted(shares.values())[-2]
    assert f"ask whether {top} measures wear or only marks which recording" in told
    assert methods["shap"]["quality"]["exact_error"] < 0.25
    assert (
        methods["shap"]["quality"]["deletion_top"] > methods["shap"]["quality"]["deletion_random"]
    )
    assert methods["surrogate"]["quality"]["fidelity"] > 0.85
    assert methods["surrogate"]["data"]["fidelity_by_feature"][top] > 0.8
    assert methods["pdp"]["data"]["curves"][top]["turns"] >= 3
    assert 0 < methods["pdp"]["quality"]["halves_gap"] < 0.3
    assert [row["kind"] for row in manifest["rows"]] == ["wrong", "uncertain", "typical", "typical"]


def test_artifacts_that_do_not_fit_are_refused_with_a_sentence(small: Path, tmp_path: Path) -> None:
    def run(automl: Path) -> None:
        explain(
            small / "features", small / "split", automl, 0, 1, tmp_path / "o", tmp_path / "p.html"
        )

    (tmp_path / "none").mkdir()
    with pytest.raises(ToolwearError, match=r"holds no model\.onnx; run the automl step"):
        run(tmp_path / "none")
    (tmp_path / "narrow").mkdir()
    model = to_bytes(constant_model(np.array([0.5, 0.5]), 3))
    (tmp_path / "narrow" / "model.onnx").write_bytes(model)
    with pytest.raises(ToolwearError, match="takes 3 features, but the feature set"):
        run(tmp_path / "narrow")
