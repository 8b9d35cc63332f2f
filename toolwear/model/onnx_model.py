"""An ONNX classifier behind one call. Needs NumPy and ONNX Runtime only: serving imports it too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort

# Names of the graph's ends; every exporter and every server uses these.
INPUT = "features"  # float64, shape (rows, features)
LABEL_OUTPUT = "label"  # int64, shape (rows,)
PROBABILITY_OUTPUT = "probabilities"  # float64, shape (rows, classes)
_EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"


class OnnxModel:
    """A binary classifier stored as one ONNX graph with float64 input.

    float64, as the models that it is made from; thresholds of trees lie between recorded values, so
    that rows which were rounded to float32 on their way get the same labels.
    """

    def __init__(self, model: Path | str | bytes, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # A graph is one file: without this, weights that it keeps outside would be read from the
        # working directory, whatever the digest of the graph says.
        options.add_session_config_entry(_EXTERNAL_FOLDER, "/dev/null/none")
        source = model if isinstance(model, bytes) else str(model)
        self._session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self.n_features = int(self._session.get_inputs()[0].shape[1])

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        """Return probabilities, shape (rows, classes), for float64 rows (rows, features)."""
        feed = {INPUT: np.ascontiguousarray(rows, dtype=np.float64)}
        result: np.ndarray = self._session.run([PROBABILITY_OUTPUT], feed)[0]
        return result

    def worn(self, rows: np.ndarray) -> np.ndarray:
        """Return the probability of the class "worn", shape (rows,)."""
        return self.predict_proba(rows)[:, 1]

    def labels(self, rows: np.ndarray) -> np.ndarray:
        """Return the graph's own class numbers, shape (rows,)."""
        feed = {INPUT: np.ascontiguousarray(rows, dtype=np.float64)}
        result: np.ndarray = self._session.run([LABEL_OUTPUT], feed)[0]
        return result
