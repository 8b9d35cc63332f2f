"""Captions of the pictures that the steps leave, by the stem of their files."""

from __future__ import annotations

_CAPTIONS = {
    "accuracy": "Accuracy of every model on the three questions, with 95 % intervals",
    "calibration": "Calibration: predicted P(worn) against the share that was worn",
    "confusion": "Confusion matrices on held-back rows of known runs: actual against predicted",
    "coverage": "Accuracy of the answers that are given against the share of rows answered",
    "permutation": "Permutation test: the best score observed against scores with permuted labels",
    "precision_recall": "Precision against recall on held-back rows of known runs",
    "roc": "ROC curve: true positive rate against false positive rate on known runs",
    "run_verdicts": "Mean P(worn) of each run when it is left out of training",
    "slices": "Accuracy on known runs by run, setting and phase",
    "column_auc": "How well each column alone ranks worn above unworn runs (run AUC)",
    "order_jumps": "Jumps between consecutive rows: rows that were stored out of order",
    "clearest_column": "The column that separates the labels best, run by run",
    "session_fingerprint": "Columns that tell the recording session rather than wear",
    "shap_summary": "SHAP: attribution of each feature over held-back rows",
    "ice_and_pdp": "ICE and partial dependence: P(worn) as one feature changes",
    "surrogate_tree": "Surrogate tree: a small decision tree that imitates the model",
    "anchor_rules": "Anchor rules of the explained predictions, with precision and coverage",
    "typical_prediction": "SHAP and LIME of a typical prediction",
    "wrong_prediction": "SHAP and LIME of a wrong prediction",
    "uncertain_prediction": "SHAP and LIME of an uncertain prediction",
}


def caption(stem: str) -> str:
    """Return what a picture shows; for one that is not known, the words of its file's name.

    Args:
        stem: name of its file without the suffix; a number in front only orders the pictures.
    """
    name = stem.lstrip("0123456789_-")
    return _CAPTIONS.get(name, name.replace("_", " ").replace("-", " ").capitalize())
