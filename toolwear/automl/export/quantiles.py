"""`sklearn.preprocessing.QuantileTransformer` as ONNX nodes, to the last bit for "uniform".

Source: `QuantileTransformer._transform_col` of scikit-learn 0.24 (the mean of an interpolation
from below and one from above) and `ndtri` of the Cephes library, which is what
`scipy.stats.norm.ppf` computes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from toolwear.automl.export.common import clip, doubles
from toolwear.model.onnx_graph import Tensor
from toolwear.model.onnx_trees import AT_LEAST, Tree, tree_ensemble

_BOUNDS_THRESHOLD = 1e-7  # of scikit-learn
_UPPER_TAIL = 0.13533528323661269189  # exp(-2), where Cephes changes its formula
_SQRT_2_PI = 2.50662827463100050242

# Rational approximations of Cephes' ndtri, highest power first (Moshier, Methods and Programs for
# Mathematical Functions, 1989): the middle, the tails, the far tails.
_P0 = (
    -5.99633501014107895267e1,
    9.80010754185999661536e1,
    -5.66762857469070293439e1,
    1.39312609387279679503e1,
    -1.23916583867381258016e0,
)
_Q0 = (
    1.0,
    1.95448858338141759834e0,
    4.67627912898881538453e0,
    8.63602421390890590575e1,
    -2.25462687854119370527e2,
    2.00260212380060660359e2,
    -8.20372256168333339912e1,
    1.59056225126211695515e1,
    -1.18331621121330003142e0,
)
_P1 = (
    4.05544892305962419923e0,
    3.15251094599893866154e1,
    5.71628192246421288162e1,
    4.40805073893200834700e1,
    1.46849561928858024014e1,
    2.18663306850790267539e0,
    -1.40256079171354495875e-1,
    -3.50424626827848203418e-2,
    -8.57456785154685413611e-4,
)
_Q1 = (
    1.0,
    1.57799883256466749731e1,
    4.53907635128879210584e1,
    4.13172038254672030440e1,
    1.50425385692907503408e1,
    2.50464946208309415979e0,
    -1.42182922854787788574e-1,
    -3.80806407691578277194e-2,
    -9.33259480895457427372e-4,
)
_P2 = (
    3.23774891776946035970e0,
    6.91522889068984211695e0,
    3.93881025292474443415e0,
    1.33303460815807542389e0,
    2.01485389549179081538e-1,
    1.23716634817820021358e-2,
    3.01581553508235416007e-4,
    2.65806974686737550832e-6,
    6.23974539184983293730e-9,
)
_Q2 = (
    1.0,
    6.02427039364742014255e0,
    3.67983563856160859403e0,
    1.37702099489081330271e0,
    2.16236993594496635890e-1,
    1.34204006088543189037e-2,
    3.28014464682127739104e-4,
    2.89247864745380683936e-6,
    6.79019408009981274425e-9,
)


def quantiles(rows: Tensor, transformer: Any) -> Tensor:
    """Return what the fitted QuantileTransformer gives."""
    knots = doubles(transformer.quantiles_)  # (knots, columns)
    levels = np.repeat(doubles(transformer.references_)[:, None], knots.shape[1], axis=1)
    # Two directions, because repeated values give repeated knots.
    upward = _interpolate(rows, knots, levels)
    downward = _interpolate(-rows, -knots[::-1], -levels[::-1])
    result = 0.5 * (upward - downward)
    where, first, last = rows.graph.where, knots[:1], knots[-1:]
    if transformer.output_distribution == "uniform":
        result = where(rows.equals(last), 1.0, result)
        return where(rows.equals(first), 0.0, result)
    result = where((rows + _BOUNDS_THRESHOLD).above(last), 1.0, result)
    result = where((rows - _BOUNDS_THRESHOLD).below(first), 0.0, result)
    bound = _BOUNDS_THRESHOLD - np.spacing(1)
    return clip(_normal_quantile(result), stats.norm.ppf(bound), stats.norm.ppf(1 - bound))


def _interpolate(rows: Tensor, knots: np.ndarray, levels: np.ndarray) -> Tensor:
    """Return `numpy.interp` of each column between its own knots, both (knots, columns)."""
    where, count = rows.graph.where, len(knots)
    searches = [_search(knots[:, column], column) for column in range(knots.shape[1])]
    segment = tree_ensemble(rows, searches, targets=len(searches), mode=AT_LEAST).as_integer()
    # One table for all columns: column c's knots start at c * count.
    lower = segment + (np.arange(knots.shape[1]) * count)[None]
    upper = lower + np.array(1)
    x0, x1 = _look_up(knots, lower), _look_up(knots, upper)
    y0, y1 = _look_up(levels, lower), _look_up(levels, upper)
    width = x1 - x0
    flat = width.equals(0.0)
    slope = (y1 - y0) / where(flat, 1.0, width)
    result = where(flat, y1, y0 + slope * (rows - x0))
    # At or beyond the last knot, and before the first: below(last) is false for "at".
    result = where(rows.below(knots[-1:]), result, levels[-1:])
    return where(rows.below(knots[:1]), levels[:1], result)


def _look_up(table: np.ndarray, index: Tensor) -> Tensor:
    return index.graph.op("Gather", np.ascontiguousarray(table.T).ravel(), index, axis=0)


def _search(knots: np.ndarray, column: int) -> Tree:
    """Return the balanced tree that finds the segment of a value: O(log knots) for each row."""
    nodes: list[tuple[float, int, int, int]] = []

    def grow(low: int, high: int) -> int:
        index = len(nodes)
        nodes.append((0.0, -1, -1, low))
        if low < high:
            middle = (low + high + 1) // 2
            nodes[index] = (knots[middle], grow(middle, high), grow(low, middle - 1), 0)
        return index

    grow(0, len(knots) - 2)
    threshold, left, right, segment = (np.array(part) for part in zip(*nodes))
    target = np.full(len(nodes), column)
    return Tree(target, threshold, left, right, segment.astype(np.float64), target)


def _polynomial(value: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    result = value * 0.0 + coefficients[0]
    for coefficient in coefficients[1:]:
        result = result * value + coefficient
    return result


def _ratio(value: Tensor, above: tuple[float, ...], below: tuple[float, ...]) -> Tensor:
    return _polynomial(value, above) / _polynomial(value, below)


def _normal_quantile(p: Tensor) -> Tensor:
    """Return the standard normal quantile of each probability."""
    graph = p.graph
    upper = p.above(1 - _UPPER_TAIL)
    y = graph.where(upper, 1.0 - p, p)
    centred = y - 0.5
    square = centred * centred
    middle = (centred + centred * (square * _ratio(square, _P0, _Q0))) * _SQRT_2_PI
    x = graph.op("Sqrt", -2.0 * graph.op("Log", graph.op("Max", y, 1e-300)))
    inverse = 1.0 / x
    near, far = inverse * _ratio(inverse, _P1, _Q1), inverse * _ratio(inverse, _P2, _Q2)
    tail = (x - graph.op("Log", x) / x) - graph.where(x.below(8.0), near, far)
    tail = graph.where(upper, tail, -tail)
    return graph.where(y.above(_UPPER_TAIL), middle, tail)
