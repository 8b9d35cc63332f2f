"""The overlays, each rendered once."""

from __future__ import annotations

import shutil

import pytest

from manifests.rendered import OVERLAYS, Object, everything
from tests.programs import program


@pytest.fixture(scope="session")
def rendered() -> dict[str, list[Object]]:
    """The objects of each overlay, the InferenceServices included."""
    if shutil.which("kubectl") is None:
        program("kustomize")
    return {overlay: everything(overlay) for overlay in OVERLAYS}
