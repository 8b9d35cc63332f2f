"""Recordings scored by the champion of a home."""

from __future__ import annotations

from typing import Any

from toolwear.release import champion as pointer
from toolwear.scoring.logic import RowSink, Scorer
from toolwear.scoring.sources import Source
from toolwear.scoring.verdict import Watch, verdict
from toolwear.workspace.home import Home


class ChampionScorer:
    """Scores recordings by the champion.

    Args:
        home: with the champion.

    Raises:
        ToolwearError: there is none, or it may not be served.
    """

    def __init__(self, home: Home) -> None:
        champion, package = pointer.read_package(home.root)
        self._scorer = Scorer.of(package)
        self._model = {
            "model": champion.name,
            "version": champion.version,
            "package": package.digest,
            "use": package.description["use"],
        }

    def score(
        self, source: Source, sink: RowSink | None = None, watch: Watch = lambda _rows: None
    ) -> dict[str, Any]:
        """Return the verdict of a recording, and by which model; see `verdict`."""
        return verdict(self._scorer, source, sink, watch) | self._model
