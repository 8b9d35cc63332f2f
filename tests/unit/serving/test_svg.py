"""Charts that the server draws."""

from __future__ import annotations

import re

import numpy as np

from serving.console import curves, svg


def test_a_bin_of_few_rows_is_drawn_with_its_wide_interval_and_not_joined() -> None:
    bins = [
        {"mean_p": 0.1, "worn_share": 0.1, "interval": (0.09, 0.11)},
        {"mean_p": 0.5, "worn_share": 1.0, "interval": (0.2, 1.0)},
    ]
    held = curves.Held("model", "c0", np.array([0, 1]), np.array([0.1, 0.5]), {"bins": bins})

    drawn = str(curves.figures([held])["calibration"])

    bars = re.search(r'<path class="line c0 bars" d="([^"]*)"', drawn)
    assert bars is not None
    heights = [float(a) - float(b) for a, b in re.findall(r"M\S+ (\S+?)V([\d.]+)", bars[1])]
    assert heights[1] > 10 * heights[0] > 0
    assert '<path class="line c0" ' not in drawn


def test_values_are_joined_unless_they_are_told_apart() -> None:
    x = np.array([0.0, 1.0])
    drawn = str(svg.lines(svg.Box("chart", "x", "y"), [svg.Line("one", x, x)]))
    assert '<path class="line c0" d="M' in drawn
    assert "bars" not in drawn
