"""Input and output of the explain step."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from components.explain import plots, plots_local
from components.explain.logic import Explained, HeldOut, explain_model
from components.explain.page import page as as_page
from toolwear.common import jsonfile
from toolwear.common.digest import file_digest
from toolwear.common.errors import ToolwearError
from toolwear.common.steps import report
from toolwear.dataset import schema
from toolwear.evaluation.protocols import folds
from toolwear.explain.methods.subject import Subject
from toolwear.features.dataset import load
from toolwear.model.onnx_model import OnnxModel

_DPI = 110


def explain(
    features: Path, split: Path, automl: Path, seed: int, rows: int, output: Path, page: Path
) -> None:
    """Explain the challenger and write the `explanation` folder and its page.

    Args:
        features: output folder of the features step.
        split: output folder of the split step.
        automl: output folder of the automl step.
        seed: of everything that draws at random.
        rows: predictions to explain one by one.
        output: folder to make: `explanations.json` (method to envelope), `manifest.json` (chosen
            rows, findings, agreement, attribution reference), `surrogate.txt`, `plots/`.
        page: HTML file to write, self-contained.

    Raises:
        ToolwearError: the artifacts do not fit together.
    """
    path = automl / "model.onnx"
    if not path.is_file():
        raise ToolwearError(f"{automl.name} holds no model.onnx; run the automl step.")
    samples = load(features, schema.PUBLISHED)
    model = OnnxModel(path)
    if model.n_features != len(samples.columns):
        raise ToolwearError(
            f"The model takes {model.n_features} features, but the feature set "
            f"{schema.PUBLISHED} has {len(samples.columns)}; train it on these features."
        )
    (fold,) = folds(schema.KNOWN_RUNS, samples, pd.read_parquet(split / "splits.parquet"))
    held = fold.test_index
    subject = Subject(
        predict=model.worn,
        background=samples.X[fold.train_index],
        names=samples.columns,
        seed=seed,
        model_sha256=file_digest(path),
        run=samples.run[fold.train_index],
    )
    test = HeldOut(
        X=samples.X[held],
        y=samples.y[held],
        run=samples.run[held],
        sample_id=samples.frame[schema.SAMPLE_ID].to_numpy(dtype=str)[held],
    )
    explained = explain_model(subject, test, rows, report)
    _write(explained, subject.names, output, page)


def _write(explained: Explained, names: tuple[str, ...], output: Path, page: Path) -> None:
    folder = output / "plots"
    folder.mkdir(parents=True)
    jsonfile.write(output / "explanations.json", explained.methods)
    jsonfile.write(output / "manifest.json", explained.manifest)
    jsonfile.write_text(output / "surrogate.txt", explained.methods["surrogate"]["data"]["text"])
    report("drawing")
    for stem, figure in _figures(explained, names).items():
        figure.savefig(folder / f"{stem}.png", dpi=_DPI, metadata={"Software": None})
    page.parent.mkdir(parents=True, exist_ok=True)
    jsonfile.write_text(
        page, as_page(explained.manifest, explained.methods, sorted(folder.glob("*.png")))
    )


def _figures(explained: Explained, names: tuple[str, ...]) -> dict[str, Figure]:
    """Return the pictures by file stem; the numbers set their order on a page."""
    found, manifest = explained.methods, explained.manifest
    reference = manifest["attribution_reference"]
    shares = {name: figures["share"] for name, figures in reference["features"].items()}
    figures = {
        "1_shap_summary": plots.shap_summary(
            names, explained.sample_values, explained.sample, reference
        ),
        "2_ice_and_pdp": plots.ice_pdp(explained.curves, found["pdp"], shares),
        "3_surrogate_tree": plots.surrogate_tree(found["surrogate"]),
        "4_anchor_rules": plots_local.anchor_table(manifest["rows"], found["anchor"]),
    }
    drawn: set[str] = set()
    for place, row in enumerate(manifest["rows"]):
        if row["kind"] not in drawn:  # one example of each kind
            drawn.add(row["kind"])
            figures[f"5_{row['kind']}_prediction"] = plots_local.shap_beside_lime(
                row, found["shap"], found["lime"], place
            )
    return figures
