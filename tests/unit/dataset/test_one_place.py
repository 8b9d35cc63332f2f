"""What is a machine's stands in its data set's folder, and in no other code of the product."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolwear.common.fingerprint import ROOT
from toolwear.dataset import contract, schema

FOLDERS = ("components", "feature_repo", "pipelines", "serving", "toolwear")
MACHINES = [contract.named(path.parent.name) for path in contract.FOLDER.glob("*/dataset.toml")]
# Columns, phases and settings of machines; a word such as "End" is everybody's.
NAMES = {
    name
    for machine in MACHINES
    for name in (
        *machine.numbers,
        *machine.columns.rename.values(),
        *machine.settings,
        machine.label.column,
        *((machine.phases.column,) if machine.phases.recorded else ()),
        *(phase for phase in machine.phases.names if " " in phase),
    )
} - schema.COLUMNS_OF_OURS

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


# What people call them, in what they read of any machine; examples of a command name the mill's.
TITLES = {
    one.title
    for machine in MACHINES
    for one in (*machine.settings.values(), *machine.signals.values())
    if " " in one.title
} | {"CNC", "mill's tool"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_text_for_people_speaks_of_one_machine(folder: str) -> None:
    pages = [*(ROOT / folder).rglob("*.j2"), *(ROOT / folder).rglob("*.html")]
    texts_of = {path: [path.read_text(encoding="utf-8")] for path in pages}
    texts_of |= {path: list(texts(path)) for path in (ROOT / folder).rglob("*.py")}
    found = {
        f"{path.relative_to(ROOT)}: {title}"
        for path, held in texts_of.items()
        for text in held
        for title in TITLES
        if title in text
    }
    assert not found


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_code_names_a_column_a_phase_or_a_setting_of_a_machine(folder: str) -> None:
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
    assert {"F_f_MAX", "TV2.Z_MEAN"} <= NAMES
