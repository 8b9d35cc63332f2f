"""auto-sklearn's classifiers as ONNX nodes: probabilities of the two classes.

Each converter takes the rows and the fitted auto-sklearn component (its `estimator` is the fitted
scikit-learn object); those of trees take the cuts between recorded values, too.
Sources: `predict_proba` of auto-sklearn 0.15's components and scikit-learn 0.24's classes;
k nearest neighbours have no entry, since ties among distances are broken differently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from toolwear.automl.export.common import (
    UnsupportedError,
    clip,
    columns_of,
    doubles,
    lookup,
    sigmoid,
    softmax,
    sum_of_squares,
)
from toolwear.automl.export.kernels import Kernel
from toolwear.model.onnx_graph import Tensor
from toolwear.model.onnx_trees import (
    Cuts,
    Tree,
    forest,
    leaf_probabilities,
    sklearn_tree,
    tree_ensemble,
)


def classify(rows: Tensor, component: Any, cuts: Cuts | None = None) -> Tensor:
    """Return the probabilities of the fitted classifier, shape (rows, 2).

    Args:
        rows: as the parts before it hand them on, or recorded ones if `cuts` say so.
        component: the classifier.
        cuts: where trees may compare; needed if `is_of_trees`.

    Raises:
        UnsupportedError: it has no conversion or was not fitted on two classes.
    """
    convert = lookup({**CLASSIFIERS, **OF_TREES}, component, "classifier")
    if len(component.estimator.classes_) != 2:
        raise UnsupportedError("only two classes are converted")
    result: Tensor = convert(rows, component, *([cuts] if is_of_trees(component) else []))
    return result


def is_of_trees(component: Any) -> bool:
    """Return whether the classifier compares its input with thresholds and does nothing else."""
    return type(component).__name__ in OF_TREES


def _forest(rows: Tensor, component: Any, cuts: Cuts) -> Tensor:
    return forest(rows, component.estimator.estimators_, cuts)


def _tree(rows: Tensor, component: Any, cuts: Cuts) -> Tensor:
    return forest(rows, [component.estimator], cuts)


def _boosting(rows: Tensor, component: Any, cuts: Cuts) -> Tensor:
    """HistGradientBoostingClassifier: compares float64, unlike the other trees."""
    estimator = component.estimator
    trees = []
    for (predictor,) in estimator._predictors:
        nodes = predictor.nodes
        leaf = nodes["is_leaf"].astype(bool)
        fitted = Tree(
            feature=nodes["feature_idx"].astype(np.int64),
            threshold=nodes["num_threshold"],
            left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
            right=nodes["right"].astype(np.int64),
            value=nodes["value"],
            target=np.zeros(len(nodes), dtype=np.int64),
        )
        trees.append(cuts.move(fitted))
    if not trees:
        raise UnsupportedError("a boosting model without trees")
    baseline = float(np.ravel(estimator._baseline_prediction)[0])
    return rows.graph.two_classes(sigmoid(tree_ensemble(rows, trees) + baseline))


def _adaboost(rows: Tensor, component: Any, cuts: Cuts) -> Tensor:
    """SAMME and SAMME.R: Hastie, Rosset, Zhu and Zou, Multi-class AdaBoost, 2009."""
    estimator = component.estimator
    total = estimator.estimator_weights_.sum()
    trees = []
    for member, weight in zip(estimator.estimators_, estimator.estimator_weights_):
        shares = leaf_probabilities(member)
        if estimator.algorithm == "SAMME.R":
            logs = np.log(np.clip(shares, np.finfo(float).eps, None))
            vote = logs[:, 1] - logs[:, 0]
        else:
            vote = weight * np.where(shares.argmax(axis=1) == 1, 1.0, -1.0)
        trees.append(cuts.move(sklearn_tree(member, vote / total), np.float32))
    return rows.graph.two_classes(sigmoid(tree_ensemble(rows, trees)))


def _margin(rows: Tensor, estimator: Any) -> Tensor:
    return rows @ doubles(estimator.coef_).T + float(np.ravel(estimator.intercept_)[0])


def _from_margin(margin: Tensor) -> Tensor:
    """Return auto-sklearn's probabilities for a margin: a sigmoid with cut-off ends.

    Source: `autosklearn.pipeline.implementations.util.softmax`.
    """
    where = margin.graph.where
    worn = 1.0 / (1.0 + margin.graph.op("Exp", -clip(margin, -20.0, 20.0)))
    worn = where(worn.above(0.999999), 1.0, worn)
    return margin.graph.two_classes(where(worn.below(1e-7), 0.0, worn))


def _linear(rows: Tensor, component: Any) -> Tensor:
    return _from_margin(_margin(rows, component.estimator))


def _sgd(rows: Tensor, component: Any) -> Tensor:
    estimator = component.estimator
    margin = _margin(rows, estimator)
    if estimator.loss == "log":
        return rows.graph.two_classes(sigmoid(margin))
    if estimator.loss == "modified_huber":
        return rows.graph.two_classes((clip(margin, -1.0, 1.0) + 1.0) / 2.0)
    return _from_margin(margin)


def _kernel_machine(rows: Tensor, component: Any) -> Tensor:
    estimator = component.estimator
    kernel = Kernel(estimator.kernel, estimator._gamma, estimator.degree, estimator.coef0)
    values = kernel(rows, estimator.support_vectors_)
    weights = doubles(estimator.dual_coef_).T
    return _from_margin(values @ weights + float(np.ravel(estimator.intercept_)[0]))


def _linear_discriminant(rows: Tensor, component: Any) -> Tensor:
    # auto-sklearn applies a softmax to what already are probabilities.
    return softmax(rows.graph.two_classes(sigmoid(_margin(rows, component.estimator))))


def _quadratic_discriminant(rows: Tensor, component: Any) -> Tensor:
    estimator = component.estimator
    scores = []
    parts = zip(estimator.means_, estimator.rotations_, estimator.scalings_, estimator.priors_)
    for mean, rotation, scaling, prior in parts:
        whitening = doubles(rotation) * doubles(scaling) ** -0.5
        distance = sum_of_squares((rows - doubles(mean)[None]) @ whitening)
        scores.append(-0.5 * (distance + float(np.log(scaling).sum())) + float(np.log(prior)))
    return softmax(softmax(columns_of(*scores)))  # twice: see _linear_discriminant


def _perceptron(rows: Tensor, component: Any) -> Tensor:
    estimator = component.estimator
    activation = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}[estimator.activation]
    *hidden, last = zip(estimator.coefs_, estimator.intercepts_)
    for weights, bias in hidden:
        rows = rows.graph.op(activation, rows @ doubles(weights) + doubles(bias)[None])
    weights, bias = last
    return rows.graph.two_classes(sigmoid(rows @ doubles(weights) + doubles(bias)[None]))


def _gaussian_bayes(rows: Tensor, component: Any) -> Tensor:
    estimator = component.estimator
    scores = []
    for mean, variance, prior in zip(estimator.theta_, estimator.sigma_, estimator.class_prior_):
        difference = rows - doubles(mean)[None]
        distance = (difference * difference / doubles(variance)[None]).row_sum()
        constant = np.log(prior) - 0.5 * np.log(2 * np.pi * variance).sum()
        scores.append(-0.5 * distance + float(constant))
    return softmax(columns_of(*scores))


def _bernoulli_bayes(rows: Tensor, component: Any) -> Tensor:
    estimator = component.estimator
    present = rows.above(float(estimator.binarize)).as_double()
    absent = np.log(1 - np.exp(estimator.feature_log_prob_))
    constant = estimator.class_log_prior_ + absent.sum(axis=1)
    return softmax(present @ (estimator.feature_log_prob_ - absent).T + constant[None])


def _multinomial_bayes(rows: Tensor, component: Any) -> Tensor:
    estimator = component.estimator
    return softmax(rows @ estimator.feature_log_prob_.T + estimator.class_log_prior_[None])


OF_TREES: Mapping[str, Callable[..., Tensor]] = {
    "GradientBoostingClassifier": _boosting,
    "RandomForest": _forest,
    "ExtraTreesClassifier": _forest,
    "DecisionTree": _tree,
    "AdaboostClassifier": _adaboost,
}
CLASSIFIERS: Mapping[str, Callable[..., Tensor]] = {
    "LDA": _linear_discriminant,
    "QDA": _quadratic_discriminant,
    "LibLinear_SVC": _linear,
    "PassiveAggressive": _linear,
    "SGD": _sgd,
    "LibSVM_SVC": _kernel_machine,
    "MLPClassifier": _perceptron,
    "GaussianNB": _gaussian_bayes,
    "BernoulliNB": _bernoulli_bayes,
    "MultinomialNB": _multinomial_bayes,
}
