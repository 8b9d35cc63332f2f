"""What is a machine's stands in its data set's folder, and in no other code of the product."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mill import MILL
from toolwear.common.fingerprint import ROOT

FOLDERS = ("components", "feature_repo", "pipelines", "serving", "toolwear")
# Columns, phases and settings of the mill; a word such as "End" is everybody's.
NAMES = {*MILL.raw, *MILL.settings, *(name for name in MILL.phases.names if " " in name)}

# By such words names of columns are compared, whatever the machine.
WORDS = {"toolwear/dataset/names.py: feedrate"}


def texts(path: Path) -> Iterator[str]:
    """Yield the texts of a module that are no documentation."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    told = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.value


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_code_names_a_column_a_phase_or_a_setting_of_the_mill(folder: str) -> None:
    found = {
        f"{path.relative_to(ROOT)}: {text[:60]}"
        for path in (ROOT / folder).rglob("*.py")
        for text in texts(path)
        if text in NAMES
    }
    assert found <= WORDS


def test_the_names_of_the_mill_would_be_found() -> None:
    path = ROOT / "datasets" / "cnc_mill" / "names.py"
    assert {"M1_CURRENT_FEEDRATE", "clamp_pressure"} <= set(texts(path)) & NAMES
