"""The registered model for MLflow: loads a package and answers a DataFrame as the service does.

MLflow copies this module and what it imports beside the model, so it needs NumPy, pandas and ONNX
Runtime only. Nothing is pickled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from components.core.abstention import ANSWERS, NO_WINDOW, NOT_SURE, VERDICTS, Abstention
from components.core.judged import judged
from components.core.onnx_model import OnnxModel
from components.core.package import load_package

VERDICT, LABEL, PROBABILITY, REASON = "verdict", "label", "probability", "reason"


class PackageModel:
    """Answers rows of features.

    Args:
        folder: of the package, named by its digest.
    """

    def __init__(self, folder: Path) -> None:
        package = load_package(folder)
        description = package.description
        self._features = package.features
        self._onnx = OnnxModel(package.model)
        self._rule = Abstention.of(
            package.features, description["abstention"], description["envelope"]
        )

    def predict(self, rows: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """Return a row for each row.

        Args:
            rows: a column for each feature, further ones are not looked at; rows with missing
                values have no answer, as raw rows that end no full window have none.
            params: of MLflow's interface; there are none.

        Returns:
            `verdict`: "worn", "unworn" or "not_sure"; `label`: the first two, None if not sure;
            `probability`: of "worn", NaN for rows without an answer; `reason`: why not sure.
        """
        values = rows[list(self._features)].to_numpy(dtype=np.float64)
        complete = np.isfinite(values).all(axis=1)
        answers = np.full(len(values), NOT_SURE, dtype=object)
        reasons = np.full(len(values), NO_WINDOW, dtype=object)
        worn = np.full(len(values), np.nan)
        if complete.any():
            probabilities = self._onnx.predict_proba(values[complete])
            found = judged(self._rule, self._features, values[complete], probabilities)
            answers[complete] = np.array(ANSWERS, dtype=object)[found.codes]
            reasons[complete] = [found.reasons.get(row, "") for row in range(len(found.codes))]
            worn[complete] = probabilities[:, 1]
        return pd.DataFrame(
            {
                VERDICT: [VERDICTS[answer] for answer in answers],
                LABEL: [None if answer == NOT_SURE else answer for answer in answers],
                PROBABILITY: worn,
                REASON: reasons,
            },
            index=rows.index,
        )


def _load_pyfunc(path: str) -> PackageModel:
    """Load the model; MLflow looks for a function of this name."""
    return PackageModel(Path(path))
