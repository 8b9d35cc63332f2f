"""Labels that stand in the rows of a recording: a measured wear, or words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from toolwear.common.errors import ToolwearError
from toolwear.dataset.contract import DataSet, Signal
from toolwear.dataset.nulls import is_null


class RowLabels:
    """Reads the labels of rows.

    Attributes:
        reads: the contract that reads their column, too, if it is one of numbers.
        text: the column, if it is one of words; else empty.

    Args:
        dataset: a contract whose labels stand in rows.
        file: name of the file, for people.
    """

    def __init__(self, dataset: DataSet, file: str) -> None:
        self._label = dataset.label
        self._file = file
        self.reads, self.text = dataset, self._label.column
        if self._label.worn_from is not None:
            signals = {**dataset.signals, self._label.column: Signal(unit=self._label.unit)}
            self.reads, self.text = dataset.model_copy(update={"signals": signals}), ""

    def read(self, batch: pa.RecordBatch, others: Mapping[str, pa.Array], row: int) -> np.ndarray:
        """Return the numbers of the classes, None where they are not known, object (rows,).

        Args:
            batch: rows with the columns of `reads`.
            others: further columns as text.
            row: place of the first of the rows in the file.

        Raises:
            ToolwearError: there is no such column, or a cell says no class.
        """
        if self._label.worn_from is not None:
            worn = pc.greater_equal(batch.column(self._label.column), self._label.worn_from)
            return np.array(worn.cast(pa.int8()).to_pylist(), dtype=object)
        if self.text not in others:
            raise ToolwearError(
                f"{self._file} lacks the column '{self.text}', which dataset.toml names under "
                "[label]."
            )
        distinct = others[self.text].dictionary_encode()
        classes = [self._class(cell) for cell in distinct.dictionary.to_pylist()]
        if _UNKNOWN in classes:
            cell = distinct.dictionary[classes.index(_UNKNOWN)].as_py()
            at = others[self.text].to_pylist().index(cell)
            raise ToolwearError(
                f"{self._file} row {row + at + 1}: '{cell[:40]}' in column '{self.text}' is none "
                f"of {', '.join(self._label.words)}; mend the cell."
            )
        return np.array(classes, dtype=object)[distinct.indices.to_numpy()]

    def _class(self, cell: str) -> int | None:
        word = cell.strip().lower()
        if word not in self._label.words and is_null(word):
            return None
        return self._label.words.get(word, _UNKNOWN)


_UNKNOWN = -1
