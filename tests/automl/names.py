"""auto-sklearn's own names of everything that has a converter."""

from __future__ import annotations

CLASSIFIERS = [
    "gradient_boosting",
    "extra_trees",
    "random_forest",
    "decision_tree",
    "adaboost",
    "lda",
    "qda",
    "liblinear_svc",
    "passive_aggressive",
    "sgd",
    "libsvm_svc",
    "mlp",
    "gaussian_nb",
    "bernoulli_nb",
    "multinomial_nb",
]
OF_TREES = CLASSIFIERS[:5]
PREPROCESSORS = [
    "no_preprocessing",
    "select_percentile_classification",
    "select_rates_classification",
    "extra_trees_preproc_for_classification",
    "liblinear_svc_preprocessor",
    "pca",
    "fast_ica",
    "polynomial",
    "kitchen_sinks",
    "nystroem_sampler",
    "kernel_pca",
    "feature_agglomeration",
    "random_trees_embedding",
]
RESCALERS = [
    "none",
    "standardize",
    "minmax",
    "normalize",
    "quantile_transformer",
    "power_transformer",
    "robust_scaler",
]
BY_COLUMN = [name for name in RESCALERS if name != "normalize"]
