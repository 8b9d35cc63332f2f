"""The overlays, each rendered once."""

from __future__ import annotations

import pytest

from tests.manifests.kind_machine import machine, model
from tests.programs import renders
from tools.rendered import OVERLAYS, Object, everything

__all__ = ["machine", "model"]


@pytest.fixture(scope="session")
def rendered() -> dict[str, list[Object]]:
    """The objects of each overlay, the InferenceServices included."""
    renders()
    return {overlay: everything(overlay) for overlay in OVERLAYS}
