"""Commands that pages and helps print exist as they are printed: every option, target and path."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from toolwear.cli.main import app
from toolwear.common.fingerprint import ROOT

PAGES = (ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md")))
MAKEFILE = (ROOT / "Makefile").read_text()
CLI = typer.main.get_command(app)
_FENCE = re.compile(r"^```(?:bash|sh)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ANY_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`]+)`")
_RULE = re.compile(r"^([a-z0-9-]+):(.*?) ## ", re.MULTILINE)
_ASSIGNED = re.compile(r"^[A-Z][A-Z_]*=")
_NAME_WORDS = 2  # of a command that is only named, such as "toolwear run"
_INTERPRETER = ".venv/bin/python"
_CLUSTER = ("kubectl",)  # what follows runs in a pod


@dataclass(frozen=True)
class Printed:
    """A command as a page prints it; `whole` if it is to be copied, not just named."""

    page: str
    text: str
    whole: bool

    @property
    def words(self) -> list[str]:
        """Its words without variables in front, and without what stands behind a pipe."""
        words = shlex.split(self.text, comments=True)
        while words and _ASSIGNED.match(words[0]):
            words = words[1:]
        ends = [words.index(word) for word in ("|", "&", "&&", ";", ">") if word in words]
        return words[: min(ends, default=len(words))]


def printed(program: str) -> list[Printed]:
    """Return every command of a program on the pages and in the helps."""
    found = [
        one for one in (*_on_pages(), *_in_helps(), *_in_messages()) if one.words[:1] == [program]
    ]
    return [one for one in found if one.words[1:] or one.whole]  # a name alone is no command


def _on_pages() -> Iterator[Printed]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in _FENCE.findall(text):
            for line in block.replace("\\\n", " ").splitlines():
                yield from _printed(page.name, line, whole=True)
        for span in _SPAN.findall(_ANY_FENCE.sub("", text)):
            yield from _printed(page.name, " ".join(span.split()), whole=False)


def _in_helps() -> Iterator[Printed]:
    for name, command in _commands(CLI, ""):
        for example in re.findall(r"`(toolwear [^`]+)`", " ".join((command.help or "").split())):
            yield Printed(f"toolwear {name} --help", example, whole="Example" in command.help)


def _in_messages() -> Iterator[Printed]:
    """Yield the commands that messages of the product name; a person copies these, too."""
    for path in [
        p for top in ("components", "serving", "toolwear") for p in (ROOT / top).rglob("*.py")
    ]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for span in re.findall(r"`(toolwear [^`]+)`", " ".join(node.value.split())):
                    # With an argument it is to be copied, without it is a name.
                    whole = len(span.split()) > _NAME_WORDS
                    yield Printed(path.relative_to(ROOT).as_posix(), span, whole)


def _commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, command in getattr(group, "commands", {}).items():
        yield f"{prefix}{name}", command
        yield from _commands(command, f"{prefix}{name} ")


def _printed(page: str, line: str, *, whole: bool) -> Iterator[Printed]:
    found = Printed(page, line.strip(), whole)
    try:
        if found.words and found.words[0] not in _CLUSTER:
            yield found
    except ValueError:  # JSON or code that is no shell command
        return


def label(one: Printed) -> str:
    return f"{one.page}: {one.text}"


@pytest.mark.parametrize("one", printed("toolwear"), ids=label)
def test_toolwear_takes_what_is_printed(
    one: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLWEAR_HOME", str(tmp_path))  # some commands want it to be there
    command: Any = CLI
    words = one.words[1:]
    prefix: list[str] = []
    while isinstance(command, TyperGroup) and words:
        assert words[0] in command.commands, f"there is no command {words[0]}"
        command, prefix, words = command.commands[words[0]], [*prefix, words[0]], words[1:]
    if isinstance(command, TyperGroup):  # a page may name a group
        assert not one.whole
        return
    try:
        command.make_context(" ".join(prefix), words)
    except typer.BadParameter as error:
        # A page may name a command without its arguments, but only where it is not to be copied.
        if one.whole or type(error).__name__ != "MissingParameter":
            raise


@pytest.mark.parametrize(("name", "command"), _commands(CLI, ""), ids=lambda one: str(one))
def test_every_help_has_an_example_of_its_own_command(name: str, command: Any) -> None:
    assert f"Example: `toolwear {name}" in " ".join(command.help.split())


@pytest.mark.parametrize("one", printed("make"), ids=label)
def test_make_has_the_target_and_reads_the_variables(one: Printed) -> None:
    rules = dict(_RULE.findall(MAKEFILE))
    target, *given = one.words[1:]
    assert target in rules
    recipe = MAKEFILE.partition(f"\n{target}:")[2].partition("\n\n")[0]
    for word in given:
        name, equals, value = word.partition("=")
        assert equals, f"{word} is no variable"
        assert f"$({name})" in recipe or f"$({name})," in recipe or f"{name})" in recipe
        if name == "ARGS":
            module = re.search(r"-m ([\w.]+)", recipe)
            assert module, f"make {target} hands on no ARGS"
            _takes(module[1], shlex.split(value))


@pytest.mark.parametrize("one", printed(_INTERPRETER), ids=label)
def test_modules_take_what_is_printed(one: Printed) -> None:
    flag, module, *words = one.words[1:]
    assert flag == "-m"
    _takes(module, words)


def test_no_page_names_an_interpreter_that_has_not_the_packages() -> None:
    bare = [label(one) for name in ("python", "python3", "dask") for one in printed(name)]
    assert bare == []


@pytest.mark.parametrize("one", printed(".venv/bin/pytest"), ids=label)
def test_tests_named_are_there(one: Printed) -> None:
    named = [word for word in one.words[1:] if not word.startswith("-")]
    assert named
    for path in named:
        assert (ROOT / path).exists(), path


def test_make_help_shows_every_target_with_a_description() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    described = [name for name, _ in _RULE.findall(MAKEFILE)]
    assert "e2e" in described
    assert [line.split()[1] for line in shown.splitlines()] == described


def test_measuring_drift_writes_no_page_unasked() -> None:
    recipe = MAKEFILE.partition("\ndrift-table:")[2].partition("\n\n")[0].partition("\n\t")[2]
    assert "tools.bench_drift" in recipe
    assert "--output" not in recipe


def _takes(module: str, words: list[str]) -> None:
    """Fail unless a module exists and its help names the options."""
    assert importlib.util.find_spec(module) is not None, module
    options = {word.partition("=")[0] for word in words if word.startswith("-")}
    if not options:
        return
    shown = _help(module)
    for option in options:
        assert re.search(rf"{option}\b", shown), f"{module} has no option {option}"


@functools.cache
def _help(module: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
