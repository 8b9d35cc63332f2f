"""The configuration: where values come from and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolwear.common.errors import ToolwearError
from toolwear.run import config


def test_the_stronger_source_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "toolwear.toml"
    file.write_text("seed = 1\nwindow = 60\nstride = 30\n")
    monkeypatch.setenv("TOOLWEAR_WINDOW", "70")
    monkeypatch.setenv("TOOLWEAR_STRIDE", "35")
    found = config.load(file, stride=40, seed=None)
    assert (found.seed, found.window, found.stride) == (1, 70, 40)


def test_the_file_in_the_working_directory_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / config.CONFIG_FILE).write_text("seed = 5\n")
    monkeypatch.chdir(tmp_path)
    assert config.load().seed == 5


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("sede = 1", "There is no configuration key 'sede'; did you mean 'seed'?"),
        ("xyz = 1", "There is no configuration key 'xyz'; `toolwear config --schema` lists"),
        ("window = -1", "The value of 'window' is wrong: input should be greater than or equal"),
        ("window = 'wide'", "The value of 'window' is wrong"),
        ("window =", "is not valid TOML"),
    ],
)
def test_a_wrong_file_gets_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(ToolwearError) as caught:
        config.load(file)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolwearError, match="There is no configuration file"):
        config.load(tmp_path / "none.toml")


def test_parameters_are_frozen() -> None:
    parameters = config.RunParameters()
    with pytest.raises(ValueError, match="frozen"):
        parameters.seed = 3  # type: ignore[misc]


def test_the_fast_budgets_are_smaller_and_known() -> None:
    full, fast = config.RunParameters(), config.load(**config.FAST)
    for name in config.FAST:
        assert getattr(fast, name) < getattr(full, name), name
