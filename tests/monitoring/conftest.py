"""The servers that are watched."""

from __future__ import annotations

from tests.serving.conftest import package, place

__all__ = ["package", "place"]
