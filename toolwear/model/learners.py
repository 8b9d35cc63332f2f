"""The models that are compared: what each learns from, and how.

Every learner has the same shape: rows, labels, weights and a seed in, a function from rows to the
probability of "worn" out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import RandomizedSearchCV, StratifiedKFold
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from toolwear.dataset import schema
from toolwear.features.dataset import Samples

# A few hundred windows of 18 runs carry no more than shallow trees, and the permutation test fits
# them tens of thousands of times.
_WINDOW_TREES, _WINDOW_DEPTH = 10, 3
_RIDGE = 1.0  # against a total weight of one for each run
_NEWTON_STEPS = 25
_SEARCH_CANDIDATES, _SEARCH_FOLDS = 16, 5
_TREE_SPACE = MappingProxyType(
    {
        "criterion": ["gini", "entropy"],
        "max_depth": [None, 10, 15, 20, 30],
        "min_samples_leaf": [1, 2, 3, 5],
        "min_samples_split": [2, 4, 8],
        "max_features": [None, 0.5, 0.75],
    }
)


@dataclass(frozen=True)
class Rows:
    """What a learner may see of n rows.

    Attributes:
        X: features, float64 (n, features).
        settings: values of the machine's settings, float64 (n, settings).
        run: the run of each row (n,); for drawing whole runs, never a feature.
        elapsed: seconds since the recording began, float64 (n,).
    """

    X: np.ndarray
    settings: np.ndarray
    run: np.ndarray
    elapsed: np.ndarray

    @classmethod
    def of(cls, samples: Samples) -> Rows:
        """Return the rows of samples."""
        nothing = np.zeros((len(samples.X), 1))  # the same of all rows, where nothing is set
        settings = samples.settings if samples.setting_names else nothing
        return cls(samples.X, settings, samples.run, samples.elapsed)

    def take(self, index: np.ndarray) -> Rows:
        """Return the rows at these positions."""
        return Rows(self.X[index], self.settings[index], self.run[index], self.elapsed[index])

    @property
    def context(self) -> np.ndarray:
        """What is known without measuring anything: settings and elapsed time."""
        return np.column_stack([self.settings, self.elapsed])


Fitted = Callable[[Rows], np.ndarray]
Learner = Callable[[Rows, np.ndarray, np.ndarray, int], Fitted]


def run_weights(y: np.ndarray, run: np.ndarray) -> np.ndarray:
    """Return weights by which runs weigh alike however long they are, and so do the classes.

    Without the second, the run that is held out shines through: the others hold fewer of its
    class. The weights sum to the number of runs.
    """
    names, index, length = np.unique(run, return_inverse=True, return_counts=True)
    weight = 1.0 / length[index]
    of_class = np.bincount(y, weights=weight, minlength=2)
    weight *= len(names) / (np.count_nonzero(of_class) * of_class[y])
    return weight


def majority(_rows: Rows, y: np.ndarray, weight: np.ndarray, _seed: int) -> Fitted:
    """Say the share of "worn", whatever the features are."""
    share = float(np.average(y, weights=weight).round(12))
    return lambda rows: np.full(len(rows.X), share)


def settings_only(rows: Rows, y: np.ndarray, weight: np.ndarray, seed: int) -> Fitted:
    """Fit a decision tree on the machine's settings alone, one row a run."""
    _, first, index = np.unique(rows.run, return_index=True, return_inverse=True)
    total = np.bincount(index, weights=weight).round(9)
    tree = DecisionTreeClassifier(random_state=seed)
    fitted = sklearn_fitted(tree, rows.settings[first], y[first], total)
    return lambda rows: fitted(rows.settings)


def context(rows: Rows, y: np.ndarray, weight: np.ndarray, seed: int) -> Fitted:
    """Fit a shallow decision tree on the machine's settings and the time that it has cut."""
    tree = _tree(_WINDOW_DEPTH, None, seed).fit(rows.context, y.astype(np.float64), weight)
    return lambda rows: np.asarray(tree.predict(rows.context)).round(9)


def estimator(model: Any) -> Learner:
    """Return the learner that fits a copy of scikit-learn's `model` with the seed."""
    kind, parameters = type(model), model.get_params()

    def fit(rows: Rows, y: np.ndarray, weight: np.ndarray, seed: int) -> Fitted:
        chosen = kind(**{**parameters, "random_state": seed})
        fitted = sklearn_fitted(chosen, rows.X, y, weight)
        return lambda rows: fitted(rows.X)

    return fit


def sklearn_fitted(
    model: Any, X: np.ndarray, y: np.ndarray, weight: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Fit a scikit-learn classifier and return its P(worn); one class only gives a constant."""
    if y.min() == y.max():
        return lambda rows: np.full(len(rows), float(y[0]))
    # Mean 1: scikit-learn's forests draw as many rows as the weights sum to.
    model.fit(X, y, sample_weight=weight / weight.mean())
    # Rounded: runs of equal features must tie, whatever the order of the additions.
    return lambda rows: model.predict_proba(rows)[:, 1].round(9)


def _tree(depth: int, max_features: str | None, seed: int) -> DecisionTreeRegressor:
    # Squared error of labels 0 and 1 is half their Gini impurity: the same tree as a classifier's,
    # in half the time, most of which scikit-learn spends on checking labels.
    return DecisionTreeRegressor(max_depth=depth, max_features=max_features, random_state=seed)


def window_tree(rows: Rows, y: np.ndarray, weight: np.ndarray, seed: int) -> Fitted:
    """Fit a shallow decision tree on windows."""
    tree = _tree(_WINDOW_DEPTH, None, seed).fit(rows.X, y.astype(np.float64), weight)
    return lambda rows: np.asarray(tree.predict(rows.X)).round(9)


def run_forest(trees: int, depth: int) -> Learner:
    """Return the learner of a random forest whose trees each see runs drawn with replacement.

    Breiman (2001) draws rows. Windows of one run are near copies of each other, so drawing them
    would show every tree every run; scikit-learn draws nothing else. Drawn within each class.

    Args:
        trees: how many.
        depth: of each.
    """

    def fit(rows: Rows, y: np.ndarray, weight: np.ndarray, seed: int) -> Fitted:
        if y.min() == y.max():
            return lambda rows: np.full(len(rows.X), float(y[0]))
        names, first, index = np.unique(rows.run, return_index=True, return_inverse=True)
        classes = [np.flatnonzero(y[first] == label) for label in (0, 1)]
        generator = np.random.default_rng(seed)
        values, labels = rows.X.astype(np.float32), y.astype(np.float64)  # as trees want them
        fitted = []
        for _ in range(trees):
            drawn = np.concatenate([generator.choice(member, len(member)) for member in classes])
            count = np.bincount(drawn, minlength=len(names))[index]
            kept = np.flatnonzero(count)
            tree = _tree(depth, "sqrt", int(generator.integers(2**31)))
            share = (weight * count)[kept]
            fitted.append(tree.fit(values[kept], labels[kept], share, check_input=False))

        def worn(rows: Rows) -> np.ndarray:
            asked = rows.X.astype(np.float32)
            votes = [tree.predict(asked, check_input=False) for tree in fitted]
            return np.mean(votes, axis=0).round(9)

        return worn

    return fit


def logistic(rows: Rows, y: np.ndarray, weight: np.ndarray, _seed: int) -> Fitted:
    """Fit a ridge logistic regression on features from which the first setting is taken out.

    Vibration grows with the feed; what a straight line over the first setting explains of a feature
    in the training rows is subtracted, the rest standardised. Newton's method as in Hastie,
    Tibshirani & Friedman (2009), section 4.4.1; the intercept is not penalised.
    """
    line = np.column_stack([np.ones(len(y)), rows.settings[:, :1]])
    root = np.sqrt(weight)[:, None]
    slope = np.linalg.lstsq(line * root, rows.X * root, rcond=None)[0]

    def residual(rows: Rows) -> np.ndarray:
        rest: np.ndarray = rows.X - slope[0] - rows.settings[:, :1] @ slope[1:]
        return rest

    left = residual(rows)
    scale = np.sqrt(np.average(left**2, axis=0, weights=weight))
    scale[scale < 1e-12 * (1 + np.abs(rows.X).max(axis=0))] = np.inf  # a constant tells nothing
    design = np.column_stack([np.ones(len(y)), left / scale])
    penalty = np.diag([0.0, *np.full(design.shape[1] - 1, _RIDGE)])
    beta = np.zeros(design.shape[1])
    for _ in range(_NEWTON_STEPS):
        p = _sigmoid(design @ beta)
        gradient = design.T @ (weight * (y - p)) - penalty @ beta
        curvature = (design * (weight * p * (1 - p))[:, None]).T @ design + penalty
        curvature[0, 0] += 1e-9  # one class only: the intercept has no end
        step = np.linalg.solve(curvature, gradient)
        beta += np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-8:
            break
    return lambda rows: _sigmoid(beta[0] + residual(rows) / scale @ beta[1:])


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(z, -30, 30)))


def search_tree(X: np.ndarray, y: np.ndarray, seed: int) -> RandomizedSearchCV:
    """Fit the decision tree of the published comparison on the training half.

    The published tree was tuned by random search, and what it found was not published. So this
    is a search of our own, inside the training rows: 16 draws, 5 stratified folds, log loss being
    blind for pure leaves, by accuracy.
    """
    search = RandomizedSearchCV(
        DecisionTreeClassifier(random_state=seed),
        dict(_TREE_SPACE),
        n_iter=_SEARCH_CANDIDATES,
        scoring="accuracy",
        cv=StratifiedKFold(_SEARCH_FOLDS, shuffle=True, random_state=seed),
        random_state=seed,
        n_jobs=1,
    )
    return search.fit(X, y)


def published_forest(seed: int) -> RandomForestClassifier:
    """Return the forest of the published comparison: scikit-learn's defaults, 100 trees."""
    return RandomForestClassifier(n_estimators=100, random_state=seed, n_jobs=1)


# On rows of 100 ms, for runs left out: few rows a tree, for neighbours say the same.
ROW_FOREST = RandomForestClassifier(n_estimators=30, max_samples=3000, n_jobs=1)
ROW_TREE = DecisionTreeClassifier(min_samples_leaf=5)

BASELINES: MappingProxyType[str, Learner] = MappingProxyType(
    {schema.MAJORITY: majority, schema.SETTINGS_ONLY: settings_only, schema.CONTEXT: context}
)
ON_ROWS: MappingProxyType[str, Learner] = MappingProxyType(
    {
        schema.DECISION_TREE: estimator(ROW_TREE),
        schema.RANDOM_FOREST: estimator(ROW_FOREST),
    }
)
_ON_WINDOWS: MappingProxyType[str, Learner] = MappingProxyType(
    {
        schema.DECISION_TREE: window_tree,
        schema.RANDOM_FOREST: run_forest(_WINDOW_TREES, _WINDOW_DEPTH),
        schema.LOGISTIC: logistic,
    }
)
_FEW = 6  # columns, of which a forest would be the same thing as a tree once more


def on_windows(columns: int) -> Mapping[str, Learner]:
    """Return what is tried on windows with so many columns."""
    left_out = (schema.RANDOM_FOREST,) if columns < _FEW else ()
    return {name: learner for name, learner in _ON_WINDOWS.items() if name not in left_out}
