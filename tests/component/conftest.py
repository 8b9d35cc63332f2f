"""Homes with a real registry, which MLflow needs seconds to lay out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from toolwear.workspace.home import Home


@pytest.fixture
def home(tmp_path: Path, empty_registry: Path) -> Home:
    """Return a home with an empty registry."""
    (tmp_path / "home").mkdir()
    shutil.copyfile(empty_registry, tmp_path / "home" / "mlflow.db")
    return Home.at(tmp_path / "home")
