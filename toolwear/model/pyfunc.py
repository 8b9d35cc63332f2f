"""The registered model for MLflow: loads a package and answers a DataFrame as the service does.

MLflow copies this module and what it imports beside the model, so it needs NumPy, pandas and ONNX
Runtime only. Nothing is pickled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolwear.model.abstention import ANSWERS, NO_WINDOW, NOT_SURE, VERDICTS, Abstention
from toolwear.model.judged import Judged, judged
from toolwear.model.onnx_model import OnnxModel
from toolwear.model.package import load_package

VERDICT, LABEL, PROBABILITY, REASON = "verdict", "label", "probability", "reason"


class PackageModel:
    """Answers rows of features.

    Args:
        folder: of the package, named by its digest.

    Attributes:
        features: names of the model's columns, in their order.
    """

    def __init__(self, folder: Path) -> None:
        package = load_package(folder)
        description = package.description
        self.features = package.features
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
        found, worn = self.judge(rows[list(self.features)].to_numpy(dtype=np.float64))
        answers = np.array(ANSWERS, dtype=object)[found.codes]
        said = [found.reasons.get(row, "") for row in range(len(worn))]
        return pd.DataFrame(
            {
                VERDICT: [VERDICTS[answer] for answer in answers],
                LABEL: [None if answer == NOT_SURE else answer for answer in answers],
                PROBABILITY: worn,
                REASON: np.where(np.isnan(worn), NO_WINDOW, said),
            },
            index=rows.index,
        )

    def judge(self, values: np.ndarray) -> tuple[Judged, np.ndarray]:
        """Return the answers to rows of features, and the probability of "worn" (rows,).

        Args:
            values: float64 (rows, features). A row with a missing value is "not sure", without a
                probability (NaN) and without a reason of its own.
        """
        complete = np.flatnonzero(np.isfinite(values).all(axis=1))
        worn = np.full(len(values), np.nan)
        codes = np.full(len(values), ANSWERS.index(NOT_SURE))
        strange, band = np.zeros(len(values), dtype=bool), np.zeros(len(values), dtype=bool)
        if not len(complete):
            return Judged(codes, {}, strange, band), worn
        probabilities = self._onnx.predict_proba(values[complete])
        found = judged(self._rule, self.features, values[complete], probabilities)
        worn[complete] = probabilities[:, 1]
        codes[complete], strange[complete], band[complete] = found.codes, found.strange, found.band
        reasons = {int(complete[row]): reason for row, reason in found.reasons.items()}
        return Judged(codes, reasons, strange, band), worn


def _load_pyfunc(path: str) -> PackageModel:
    """Load the model; MLflow looks for a function of this name."""
    return PackageModel(Path(path))
