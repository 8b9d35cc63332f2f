"""The pictures that lead a page."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from serving.console import svg
from toolwear.evaluation.headline import Figure

_ROW = 50  # height of a question


def questions(figures: Sequence[Figure]) -> Markup:
    """Return how often a model is right, question by question, each a bar from 0 to 100 %.

    A thin line is the 95 % interval, a dashed one what needs no telemetry gets right.
    """
    bottom = _ROW * len(figures) + 4
    box = svg.Box("How often the model is right, by question", "", "", 460, bottom + 20)
    x = svg.Scale(0.0, 1.0, 8, box.width - 8)
    parts = []
    for place, figure in enumerate(figures):
        top = _ROW * place
        said = "not answered" if figure.share is None else f"right: {figure.counted}"
        parts.append(
            f'<text class="name" x="8" y="{top + 16}">{escape(figure.question)}</text>'
            f'<text class="tick" x="{box.width - 8}" y="{top + 16}" text-anchor="end">'
            f"{escape(said)}</text>"
            f'<rect class="lane" x="8" y="{top + 22}" width="{box.width - 16}" height="16"/>'
        )
        if figure.share is not None:
            parts.append(
                f'<rect class="area c0" x="8" y="{top + 22}" height="16" '
                f'width="{x(figure.share) - 8:.1f}"/>'
            )
        if figure.interval is not None:
            low, high = (f"{x(bound):.1f}" for bound in figure.interval)
            parts.append(
                f'<line class="axis" x1="{low}" x2="{high}" y1="{top + 42}" y2="{top + 42}"/>'
            )
        if figure.baseline is not None:
            at = f"{x(figure.baseline):.1f}"
            parts.append(
                f'<line class="mark" x1="{at}" x2="{at}" y1="{top + 19}" y2="{top + 41}"/>'
            )
    parts += [
        f'<text class="tick" x="{x(share):.1f}" y="{bottom + 14}" text-anchor="{anchor}">'
        f"{share:.0%}</text>"
        for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
    ]
    return svg.picture(box, "".join(parts))
