"""Fits single auto-sklearn components and compares them with their ONNX graphs.

Runs in auto-sklearn's interpreter: `python -m tests.automl.convert_cases`. Prints one JSON object
{case: {"label_agreement": share of rows, "max_abs_diff": of the probabilities, "noise": largest
change of a probability under relative noise of 1e-6 and when the rows are rounded to float32}}.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict

import numpy as np
from autosklearn.pipeline.classification import SimpleClassificationPipeline

from tests.automl.names import CLASSIFIERS, PREPROCESSORS, RESCALERS
from toolwear.automl.export.ensemble import Member, ensemble_model
from toolwear.automl.export.gate import compare
from toolwear.model.onnx_graph import to_bytes
from toolwear.model.onnx_model import OnnxModel

N_FEATURES = 6
RESCALING = "data_preprocessor:feature_type:numerical_transformer:rescaling:__choice__"


def data(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rounded, partly repeated values with both signs, as telemetry has them."""
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(rows, N_FEATURES)).round(2)
    X[:, 1] = generator.integers(-3, 4, size=rows)
    y = (X[:, 0] * X[:, 1] + X[:, 2] + 0.3 * generator.normal(size=rows) > 0).astype(int)
    return X, y


def fitted(classifier: str, preprocessor: str, rescaler: str, seed: int) -> Member:
    """Return one pipeline with the named parts and other settings drawn by `seed`."""
    include = {"classifier": [classifier], "feature_preprocessor": [preprocessor]}
    features = dict.fromkeys(range(N_FEATURES), "numerical")
    empty = SimpleClassificationPipeline(feat_type=features, include=include)
    space = empty.get_hyperparameter_search_space(feat_type=features)
    space.seed(seed)
    config = space.sample_configuration()
    while config[RESCALING] != rescaler:
        config = space.sample_configuration()
    pipeline = SimpleClassificationPipeline(
        feat_type=features, include=include, config=config, random_state=seed
    )
    pipeline.fit(*data(500, 1))
    return Member(1.0, pipeline)


def cases() -> dict[str, tuple[str, str, str]]:
    """Return each classifier, preprocessor and rescaler once beside plain other parts."""
    plain = ("no_preprocessing", "standardize")
    result = {name: (name, *plain) for name in CLASSIFIERS}
    # The only preprocessor whose output auto-sklearn holds to be free of negative numbers.
    result["multinomial_nb"] = ("multinomial_nb", "random_trees_embedding", "none")
    result.update({name: ("liblinear_svc", name, "standardize") for name in PREPROCESSORS})
    result.update({name: ("gradient_boosting", plain[0], name) for name in RESCALERS})
    return result


def main() -> None:
    """Print the agreement of every case."""
    warnings.filterwarnings("ignore")
    X, _ = data(2000, 2)
    noise = 1e-6 * np.random.default_rng(3).choice([-1, 1], X.shape)
    result = {}
    for name, parts in cases().items():
        member = fitted(*parts, seed=1)
        graph = OnnxModel(to_bytes(ensemble_model([member], X)))
        result[name] = asdict(compare(graph, member.probabilities(X), X))
        moved = (X * (1 + noise), X.astype(np.float32).astype(np.float64))
        result[name]["noise"] = max(
            np.abs(graph.worn(rows) - graph.worn(X)).max() for rows in moved
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
