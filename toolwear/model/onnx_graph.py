"""Builds ONNX graphs in float64, with arithmetic written as arithmetic.

Needs NumPy and ONNX only and runs on Python 3.9, so that every step that exports a model can use
it. Binary classifiers: every finished model has the input and the outputs named in
`toolwear.model.onnx_model`. The same calls in the same order give the same bytes.
"""

from __future__ import annotations

from typing import Any, Union

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from toolwear.dataset.schema import CLASSES
from toolwear.model.onnx_model import INPUT, LABEL_OUTPUT, PROBABILITY_OUTPUT

ML_DOMAIN = "ai.onnx.ml"
# Read by every ONNX Runtime from 1.14 on; newer sets bring no operator that is used here.
OPSETS = {"": 17, ML_DOMAIN: 3}
IR_VERSION = 8
_SHARED_SIZE = 8  # constants up to this many elements are stored once


class Tensor:
    """A value in a graph. Operators add nodes; numbers and arrays become constants."""

    __array_ufunc__ = None  # so that `array - tensor` reaches __rsub__ instead of NumPy

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph = graph
        self.name = name

    def __add__(self, other: Operand) -> Tensor:
        return self.graph.op("Add", self, other)

    def __radd__(self, other: Operand) -> Tensor:
        return self.graph.op("Add", other, self)

    def __sub__(self, other: Operand) -> Tensor:
        return self.graph.op("Sub", self, other)

    def __rsub__(self, other: Operand) -> Tensor:
        return self.graph.op("Sub", other, self)

    def __mul__(self, other: Operand) -> Tensor:
        return self.graph.op("Mul", self, other)

    def __rmul__(self, other: Operand) -> Tensor:
        return self.graph.op("Mul", other, self)

    def __truediv__(self, other: Operand) -> Tensor:
        return self.graph.op("Div", self, other)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return self.graph.op("Div", other, self)

    def __matmul__(self, other: Operand) -> Tensor:
        return self.graph.op("MatMul", self, other)

    def __neg__(self) -> Tensor:
        return self.graph.op("Neg", self)

    def below(self, other: Operand) -> Tensor:
        """Return where this is less than the other, elementwise."""
        return self.graph.op("Less", self, other)

    def above(self, other: Operand) -> Tensor:
        """Return where this is greater than the other, elementwise."""
        return self.graph.op("Greater", self, other)

    def equals(self, other: Operand) -> Tensor:
        """Return where both are the same, elementwise."""
        return self.graph.op("Equal", self, other)

    def columns(self, index: np.ndarray) -> Tensor:
        """Return the columns at these positions, in this order."""
        return self.graph.op("Gather", self, np.asarray(index, dtype=np.int64), axis=1)

    def row_sum(self) -> Tensor:
        """Return the sum over each row, shape (rows, 1)."""
        return self.graph.op("ReduceSum", self, np.array([1], dtype=np.int64), keepdims=1)

    def as_double(self) -> Tensor:
        """Return the value as float64."""
        return self.graph.op("Cast", self, to=TensorProto.DOUBLE)

    def as_float(self) -> Tensor:
        """Return the value rounded to float32."""
        return self.graph.op("Cast", self, to=TensorProto.FLOAT)

    def as_integer(self) -> Tensor:
        """Return the value as int64."""
        return self.graph.op("Cast", self, to=TensorProto.INT64)


Operand = Union[Tensor, np.ndarray, float]


class Graph:
    """A graph in the making: `features` is its input, `model` finishes it.

    Args:
        n_features: columns of the input, shape (rows, n_features), float64.
    """

    def __init__(self, n_features: int) -> None:
        self.n_features = n_features
        self.features = Tensor(self, INPUT)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._shared: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def op(self, kind: str, *inputs: Operand, domain: str = "", **attributes: Any) -> Tensor:
        """Add a node with one output and return it; `attributes` as the operator names them."""
        return self.ops(kind, 1, *inputs, domain=domain, **attributes)[0]

    def ops(
        self, kind: str, outputs: int, *inputs: Operand, domain: str = "", **attributes: Any
    ) -> list[Tensor]:
        """Add a node with several outputs and return them."""
        names = [self._name(value) for value in inputs]
        stem = f"{kind}_{len(self._nodes)}"
        results = [stem] if outputs == 1 else [f"{stem}_{i}" for i in range(outputs)]
        node = helper.make_node(kind, names, results, name=stem, domain=domain, **attributes)
        self._nodes.append(node)
        return [Tensor(self, name) for name in results]

    def where(self, condition: Operand, then: Operand, otherwise: Operand) -> Tensor:
        """Return `then` where `condition` holds and `otherwise` elsewhere."""
        return self.op("Where", condition, then, otherwise)

    def rows_of(self, values: np.ndarray) -> Tensor:
        """Return one row of constants for each input row, shape (rows, len(values))."""
        # A row count taken from the shape, not from the data: a NaN feature must not reach it.
        rows = self.op("Gather", self.op("Shape", self.features), np.array([0], dtype=np.int64))
        shape = self.op("Concat", rows, np.array([len(values)], dtype=np.int64), axis=0)
        return self.op("Expand", np.asarray(values, dtype=np.float64)[None], shape)

    def two_classes(self, worn: Tensor) -> Tensor:
        """Return both classes' probabilities (rows, 2) for that of class 1 (rows, 1)."""
        return self.op("Concat", 1.0 - worn, worn, axis=1)

    def model(self, probabilities: Tensor) -> onnx.ModelProto:
        """Return the checked model whose outputs are `probabilities` (rows, 2) and its argmax."""
        last = [
            helper.make_node("Identity", [probabilities.name], [PROBABILITY_OUTPUT]),
            helper.make_node("ArgMax", [PROBABILITY_OUTPUT], [LABEL_OUTPUT], axis=1, keepdims=0),
        ]
        ends = (
            _value_info(INPUT, TensorProto.DOUBLE, ["rows", self.n_features]),
            _value_info(LABEL_OUTPUT, TensorProto.INT64, ["rows"]),
            _value_info(PROBABILITY_OUTPUT, TensorProto.DOUBLE, ["rows", len(CLASSES)]),
        )
        graph = helper.make_graph(
            self._nodes + last, "toolwear", ends[:1], ends[1:], self._constants
        )
        used = {node.domain for node in self._nodes} | {""}
        model = helper.make_model(
            graph,
            producer_name="toolwear",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid(name, OPSETS[name]) for name in sorted(used)],
        )
        onnx.checker.check_model(model)
        return model

    def _name(self, value: Operand) -> str:
        if isinstance(value, Tensor):
            return value.name
        array = np.asarray(value)
        if array.dtype.kind not in "ib":
            array = array.astype(np.float64)
        key = (array.dtype.str, array.shape, array.tobytes() if array.size <= _SHARED_SIZE else b"")
        if array.size <= _SHARED_SIZE and key in self._shared:
            return self._shared[key]
        name = f"constant_{len(self._constants)}"
        # ascontiguousarray would turn a scalar into a row; tobytes is contiguous already.
        self._constants.append(numpy_helper.from_array(array.copy(order="C"), name))
        if array.size <= _SHARED_SIZE:
            self._shared[key] = name
        return name


def _value_info(name: str, kind: int, shape: list[Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def to_bytes(model: onnx.ModelProto) -> bytes:
    """Return the model's bytes; equal models have equal bytes."""
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def constant_model(probabilities: np.ndarray, n_features: int) -> onnx.ModelProto:
    """Return the model that gives every row the same class probabilities, shape (2,)."""
    graph = Graph(n_features)
    return graph.model(graph.rows_of(np.asarray(probabilities, dtype=np.float64)))
