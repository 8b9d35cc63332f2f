"""Homes with a real registry, which MLflow needs seconds to lay out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from components.core.home import Home
from components.core.registry import CHAMPION, Registry
from components.promote.registry_state import MODEL_NAME


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a registry without models."""
    home = Home.at(tmp_path_factory.mktemp("registry"))
    assert Registry(home, "", MODEL_NAME).at(CHAMPION) is None
    return home.root / "mlflow.db"


@pytest.fixture
def home(tmp_path: Path, empty_registry: Path) -> Home:
    """Return a home with an empty registry."""
    (tmp_path / "home").mkdir()
    shutil.copyfile(empty_registry, tmp_path / "home" / "mlflow.db")
    return Home.at(tmp_path / "home")
