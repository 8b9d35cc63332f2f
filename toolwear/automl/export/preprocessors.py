"""auto-sklearn's feature preprocessors as ONNX nodes.

Each converter takes the rows and the fitted auto-sklearn component, whose `preprocessor` is the
fitted scikit-learn object. Source: `transform` of the named classes in scikit-learn 0.24.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from toolwear.automl.export.common import (
    UnsupportedError,
    columns_of,
    doubles,
    lookup,
    not_negative,
    select,
)
from toolwear.automl.export.kernels import Kernel
from toolwear.model.onnx_graph import Tensor
from toolwear.model.onnx_trees import sklearn_tree, tree_ensemble


def preprocess_features(rows: Tensor, component: Any) -> Tensor:
    """Return rows as the fitted feature preprocessor hands them on.

    Raises:
        UnsupportedError: it has no conversion.
    """
    result: Tensor = lookup(PREPROCESSORS, component, "feature preprocessor")(rows, component)
    return result


def _nothing(rows: Tensor, component: Any) -> Tensor:  # noqa: ARG001 - one signature for all
    return rows


def _selection(rows: Tensor, component: Any) -> Tensor:
    score = getattr(component, "score_func", None)
    if getattr(score, "__name__", "") == "chi2":
        rows = not_negative(rows)
    return select(rows, component.preprocessor.get_support())


def _pca(rows: Tensor, component: Any) -> Tensor:
    part = component.preprocessor
    directions = doubles(part.components_).T
    if part.whiten:
        directions = directions / np.sqrt(doubles(part.explained_variance_))[None]
    return (rows - doubles(part.mean_)[None]) @ directions


def _fast_ica(rows: Tensor, component: Any) -> Tensor:
    part = component.preprocessor
    if part.whiten:
        rows = rows - doubles(part.mean_)[None]
    return rows @ doubles(part.components_).T


def _polynomial(rows: Tensor, component: Any) -> Tensor:
    powers = component.preprocessor.powers_  # (monomials, columns)
    degree, one = int(powers.sum(axis=1).max()), powers.shape[1]
    # Each monomial is a product of `degree` columns; the one appended here fills up short ones.
    padded = columns_of(rows, rows.graph.rows_of(np.ones(1)))
    factors = np.full((len(powers), degree), one)
    for index, row in enumerate(powers):
        columns = np.repeat(np.arange(len(row)), row)
        factors[index, : len(columns)] = columns
    # Right to left: the order in which scikit-learn multiplies, which keeps the last bit.
    result = padded.columns(factors[:, -1])
    for position in reversed(range(degree - 1)):
        result = result * padded.columns(factors[:, position])
    return result


def _kitchen_sinks(rows: Tensor, component: Any) -> Tensor:
    part = component.preprocessor
    angle = rows @ doubles(part.random_weights_) + doubles(part.random_offset_)[None]
    # ONNX Runtime has no float64 Cos.
    cosine = rows.graph.op("Sin", angle + np.pi / 2)
    return cosine * (np.sqrt(2.0) / np.sqrt(part.n_components))


def _nystroem(rows: Tensor, component: Any) -> Tensor:
    part = component.preprocessor
    if component.kernel == "chi2":
        rows = not_negative(rows)
    # The parameters that apply to the kernel; the others are not handed on by scikit-learn.
    given = {"gamma": part.gamma, "degree": part.degree, "coef0": part.coef0}
    given.update(part._get_kernel_params())
    values = Kernel(part.kernel, **given)(rows, part.components_)
    return values @ doubles(part.normalization_).T


def _kernel_pca(rows: Tensor, component: Any) -> Tensor:
    part = component.preprocessor
    gamma = 1.0 / part.X_fit_.shape[1] if part.gamma is None else part.gamma
    values = Kernel(part.kernel, gamma, part.degree, part.coef0)(rows, part.X_fit_)
    centre = part._centerer
    mean = values.row_sum() / float(len(part.X_fit_))
    values = values - doubles(centre.K_fit_rows_)[None] - mean + float(centre.K_fit_all_)
    used = np.flatnonzero(part.lambdas_)
    directions = np.zeros(part.alphas_.shape)
    directions[:, used] = part.alphas_[:, used] / np.sqrt(part.lambdas_[used])
    return values @ directions


def _agglomeration(rows: Tensor, component: Any) -> Tensor:
    part = component.preprocessor
    pool = {"mean": _mean, "amax": _maximum, "max": _maximum, "median": _median}
    name = part.pooling_func.__name__
    if name not in pool:
        raise UnsupportedError(f"no exact conversion of the pooling {name}")
    groups = [np.flatnonzero(part.labels_ == label) for label in range(part.n_clusters)]
    return columns_of(*(pool[name](rows, group) for group in groups))


def _mean(rows: Tensor, group: np.ndarray) -> Tensor:
    total = rows.columns(group[:1])
    for column in group[1:]:  # one by one, the order in which NumPy adds few numbers
        total = total + rows.columns(np.array([column]))
    return total / float(len(group))


def _maximum(rows: Tensor, group: np.ndarray) -> Tensor:
    return rows.graph.op("ReduceMax", rows.columns(group), axes=[1], keepdims=1)


def _median(rows: Tensor, group: np.ndarray) -> Tensor:
    size = len(group)
    ordered = rows.graph.ops("TopK", 2, rows.columns(group), np.array([size]), axis=1)[0]
    return (
        ordered.columns(np.array([(size - 1) // 2])) + ordered.columns(np.array([size // 2]))
    ) * 0.5


def _tree_embedding(rows: Tensor, component: Any) -> Tensor:
    part = component.preprocessor
    trees, offset = [], 0
    for estimator, leaves in zip(part.estimators_, part.one_hot_encoder_.categories_):
        target = np.zeros(estimator.tree_.node_count, dtype=np.int64)
        target[leaves.astype(np.int64)] = offset + np.arange(len(leaves))
        offset += len(leaves)
        trees.append(sklearn_tree(estimator, np.ones(len(target)), target))
    # Rounded to float32, as scikit-learn's trees compare.
    return tree_ensemble(rows.as_float().as_double(), trees, targets=offset)


PREPROCESSORS = {
    "NoPreprocessing": _nothing,
    "SelectPercentileClassification": _selection,
    "SelectClassificationRates": _selection,
    "ExtraTreesPreprocessorClassification": _selection,
    "LibLinear_Preprocessor": _selection,
    "PCA": _pca,
    "FastICA": _fast_ica,
    "PolynomialFeatures": _polynomial,
    "RandomKitchenSinks": _kitchen_sinks,
    "Nystroem": _nystroem,
    "KernelPCA": _kernel_pca,
    "FeatureAgglomeration": _agglomeration,
    "RandomTreesEmbedding": _tree_embedding,
}


def selected(component: Any, columns: int) -> np.ndarray | None:
    """Return which of so many columns the preprocessor hands on; None if it computes others."""
    convert = PREPROCESSORS.get(type(component).__name__)
    if convert is _nothing:
        return np.arange(columns)
    return np.flatnonzero(component.preprocessor.get_support()) if convert is _selection else None
