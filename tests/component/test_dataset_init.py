"""A proposal for files that nothing is known of, made and completed as a stranger would."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from toolwear.cli.main import app
from toolwear.common.errors import ToolwearError
from toolwear.dataset import contract

ROWS, PARTS = 120, 6


def toolwear(*arguments: object, refused: bool = False) -> str:
    """Return what a command prints, or the sentence by which it refuses."""
    done = CliRunner().invoke(app, [str(one) for one in arguments])
    assert isinstance(done.exception, ToolwearError if refused else type(None)), done.output
    return " ".join((str(done.exception) if refused else done.output).split())


@pytest.fixture
def drills(tmp_path: Path) -> Path:
    """Return a folder as a drill's logger in Germany might write it."""
    folder = tmp_path / "Drills 2024"
    folder.mkdir()
    generator = np.random.default_rng(0)
    table = ["Teil;Vorschub;Zustand"]
    for part in range(1, PARTS + 1):
        table.append(f"{part};{'0,2' if part % 2 else '0,4'};{'worn' if part > 3 else 'neu'}")
        lines = ["t_ms;Spindel Strom [A];Vorschub;Temp;Status;Programm;Bild"]
        for row in range(ROWS):
            current, torque = generator.normal(5, 1), generator.normal(2, 0.2)
            state = "Bohren" if row > 9 else "Anfahren"
            state = state.lower() if row == 50 else state
            temp = "" if row == 7 else f"{20 + row / 10:.1f}"
            line = f"{row * 20};{current:.3f};{torque:.4f};{temp};{state};17;Bild {row}"
            lines.append(line.replace(".", ","))
        text = "\n".join(lines).encode("cp1252")
        (folder / f"Teil_{part:03}.csv.gz").write_bytes(gzip.compress(text))
    (folder / "Teile.csv").write_text("\n".join(table), encoding="utf-8")
    return folder


def test_a_folder_of_another_machine_can_be_read_by_what_is_proposed(drills: Path) -> None:
    told = toolwear("dataset", "init", drills)
    assert "to be said" not in told, "all of it stands in the files"
    found = contract.named(str(drills))
    assert found.dataset.name == "drills_2024"
    recordings = found.recordings
    assert (recordings.files, recordings.table) == ("Teil_{id}.csv.gz", "Teile.csv")
    assert (recordings.number, recordings.sample_period_seconds) == ("Teil", 0.02)
    assert (found.label.negative, found.label.positive) == (("neu",), ("worn",))
    stated = {name: one.column for name, one in found.settings.items()}
    assert stated == {"Vorschub_2": "Vorschub"}, "a signal has the name, too"
    assert found.phases.names == ("Anfahren", "Bohren")
    assert found.phases.spellings == {"bohren": "Bohren"}
    assert set(found.signals) == {"Spindel_Strom_A", "Vorschub"}
    renamed = {"Spindel_Strom_A": "Spindel Strom [A]", "Status_2": "Status"}
    assert found.columns.rename == renamed, "status is a column of our own"
    for name, why in (
        ("Temp", "lacks 6 of 720 numbers"),
        ("Programm", "always the same"),
        ("Bild", "text"),
        ("t_ms", "time"),
    ):
        assert f"{name} is left out: {why}" in told
        assert name in found.columns.ignore
    read = toolwear("dataset", "check", drills)
    assert f"{ROWS * PARTS} rows of {PARTS} runs" in read
    assert "passed over" not in read


def test_what_a_file_does_not_tell_is_asked_and_then_it_is_read(
    real_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "all.csv").write_bytes(
        next((real_data.parent / "turning").glob("*.csv")).read_bytes()
    )
    target = tmp_path / "lathe.toml"
    told = toolwear("dataset", "init", tmp_path / "all.csv", "--output", target)
    assert "to be said: worn_from under [label]: Vb seems to be a measured wear, 0 to 79" in told
    assert "to be said: sample_period_seconds under [recordings]" in told
    assert "13 recordings in all.csv, divided by tool" in told
    check = ("dataset", "check", tmp_path, "--dataset", target)
    assert "sample_period_seconds' is missing" in toolwear(*check, refused=True)
    text = target.read_text("utf-8")
    text = text.replace("# sample_period_seconds = 0.1", "sample_period_seconds = 1")
    target.write_text(text.replace("# worn_from", "worn_from").replace("# unit", "unit"), "utf-8")
    read = toolwear(*check)
    assert "2,054 rows of 21 runs" in read


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("notes.md", "no recordings", "holds no file that could be recordings"),
        ("all.csv", "a,b\n" + "1.5,2\n" * 50, "No column of all.csv tells which rows"),
        ("r1.csv", "1.5,2\n" * 50, "r1.csv begins with numbers"),
        ("r1.csv", "", "r1.csv is empty"),
        ("r1.csv", 'a,b\n1,2\n"1,2\n', "r1.csv can't be read as CSV"),
    ],
)
def test_files_that_can_not_be_recordings_are_refused(
    tmp_path: Path, name: str, text: str, sentence: str
) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    assert sentence in toolwear("dataset", "init", tmp_path, refused=True)
    assert not (tmp_path / contract.FILE).exists()


def test_a_file_that_is_there_is_kept(drills: Path) -> None:
    (drills / contract.FILE).write_text("# mine\n", "utf-8")
    told = toolwear("dataset", "init", drills, refused=True)
    assert "is there already; name another with --output" in told
    assert (drills / contract.FILE).read_text("utf-8") == "# mine\n"
