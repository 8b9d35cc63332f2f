"""The contract of a data set: what a dataset.toml may say, and the sentence for what it may not."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest

from components.ingest.logic import runs_schema
from components.score.step import schema_of
from serving.common.rows import TIMESTAMP
from serving.payload.records import LABEL_SCHEMA, NAMES
from tests.lathe import LATHE
from tests.mill import MILL
from tests.packages import make_package
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.dataset import contract, schema
from toolwear.dataset.contract import (
    DEFAULT,
    FILE,
    FOLDER,
    DataSet,
    default,
    key_columns,
    named,
    resolve,
)
from toolwear.dataset.limits import limit
from toolwear.run.config import RunParameters, load
from toolwear.scoring.sources import settings_of


def _toml(folder: Path, text: str) -> str:
    path = folder / contract.FILE
    path.write_text(text)
    return str(path)


def test_a_file_says_only_what_differs_from_the_mill(tmp_path: Path) -> None:
    found = named(_toml(tmp_path, '[columns.offset]\nZ1_ActualPosition = -6\n[dataset]\nname="b"'))
    assert found.columns.offset == {"Z1_ActualPosition": -6.0}
    assert found.dataset.name == "b"
    assert found.dataset.title == default().dataset.title
    assert found.rows == default().rows


def test_what_travels_is_the_whole_contract(tmp_path: Path) -> None:
    path = _toml(tmp_path, '[format]\nseparator = ";"\n')
    parameters = load(None, dataset=path)
    Path(path).unlink()  # another machine has not this file
    assert named(parameters.dataset).format.separator == ";"
    assert load(None, dataset=parameters.dataset) == parameters
    assert named(default().content) == default()
    assert named("cnc_mill") == default()
    assert RunParameters().dataset == ""


def test_a_folder_is_read_by_its_own_file_unless_told_otherwise(tmp_path: Path) -> None:
    assert resolve("", tmp_path) == resolve("", None) == default()
    _toml(tmp_path, '[recordings]\nfile = "all.csv"\nid = "run"\n')
    own = resolve("", tmp_path).recordings
    assert (own.file, own.id, own.files) == ("all.csv", "run", "")
    assert resolve("cnc_mill", tmp_path) == default()


def test_the_schema_accepts_the_mills_contract() -> None:
    written = tomllib.loads((FOLDER / DEFAULT / FILE).read_text(encoding="utf-8"))
    jsonschema.validate(written, DataSet.model_json_schema())


def test_what_has_an_order_keeps_it_through_json() -> None:
    mill = default()
    again = named(json.dumps(json.loads(mill.content), sort_keys=True))
    assert again == mill
    assert (again.numbers, tuple(again.settings)) == (mill.numbers, ("feedrate", "clamp_pressure"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x =", "is not valid TOML"),
        ("[recordngs]\nfile = 'a'", "no key 'recordngs'; did you mean 'recordings'?"),
        ("[format]\nseparatr = ';'", "no key 'format.separatr'; did you mean 'separator'?"),
        ("[format]\nxyz = ';'", "the keys are separator, decimal, encoding, compression."),
        ("[format]\nencoding = 'utf9'", "'utf9' is no encoding"),
        ("[recordings]\nfile = 'a.csv'", "say in 'id' which column"),
        ("[recordings]\nfile = '../a.csv'\nid = 'n'", "has to be a name without a folder"),
        ("[recordings]\nfiles = 'run.csv'", "has to hold {id} once"),
        ("[columns.rename]\nX1_ActualPositon = 'a'", "did you mean 'X1_ActualPosition'?"),
        (
            "[columns.rename]\nX1_ActualPosition = 'a'\nY1_ActualPosition = 'a'",
            "'a' is given to two columns",
        ),
        ("[columns.scale]\nX1_ActualPosition = 0", "which would leave nothing of it"),
        ("[columns.offset]\nX1_ActualPosition = nan", "'columns.offset.X1_ActualPosition'"),
        ("[rows]\ncutting = ['Z1_ActualPosition = 3']", "is no limit; write one like"),
        ("[rows]\ncutting = ['Z1_Position < 3']", "did you mean 'Z1_ActualPosition'?"),
        ("[rows]\njudged = ['Layer 9']", "'Layer 9' is no phase"),
        ("[settings]\nRows = 'a'", "a setting has the name 'Rows' of a column of ours; give it"),
        (
            "[settings]\nx1_outputpower = 'a'",
            "a setting has the name 'x1_outputpower' of a signal 'X1_OutputPower'",
        ),
        (
            "[[faults]]\ncolumn = 'X1_OutputPower'\nvalue = 0\nabout = 'a'\n" * 2,
            "dataset.toml: [[faults]] speaks twice of 'X1_OutputPower'",
        ),
        ("[features.derived]\nrun_id = {of = 'X1_OutputPower', less = 'Y1_OutputPower'}", "ours"),
        (
            "[features]\nlevels = ['X1_Power']",
            "dataset.toml: [features] speaks of 'X1_Power'; did you mean",
        ),
        ("[label]\nnegative = ['Worn']", "'worn' stands for both classes"),
        ("[published.models.decision_tree]\naccuracy = 1", "'published.digest' is missing"),
    ],
)
def test_what_is_wrong_is_one_sentence_with_its_key(
    tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(ToolwearError) as caught:
        named(_toml(tmp_path, text))
    assert sentence in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value).replace(str(tmp_path), "") or "TOML" in sentence


def test_a_data_set_that_is_not_there_is_named() -> None:
    with pytest.raises(ToolwearError, match=r"no data set 'lathe'.*one of cnc_mill"):
        named("lathe")


def test_a_limit_is_a_column_a_side_and_a_value() -> None:
    found = limit(" S1_ActualVelocity>-5.2e1 ")
    assert (found.column, found.below, found.value) == ("S1_ActualVelocity", False, -52.0)


def test_no_column_of_ours_is_free_for_a_data_set() -> None:
    tables = (runs_schema(MILL).names, schema_of(MILL).names, NAMES, LABEL_SCHEMA.names)
    found = {*key_columns(MILL), TIMESTAMP}.union(*tables)
    assert found - {*MILL.settings, MILL.phases.column} <= schema.COLUMNS_OF_OURS


@pytest.mark.parametrize("said", [None, {}, {"dataset": {"name": "b"}}, []])
def test_a_contract_of_another_version_is_told_in_a_sentence(tmp_path: Path, said: object) -> None:
    jsonfile.write(tmp_path / "manifest.json", {"dataset": said})
    with pytest.raises(ToolwearError, match=r"no data set's contract that this version reads \("):
        contract.of(tmp_path)


def test_a_package_of_another_version_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ToolwearError, match=r"package [0-9a-f]{12} holds no data set's contract"):
        make_package(tmp_path, dataset={"rows": {"cutting": ["a < 1"]}})


def test_settings_of_a_service_are_numbers_of_any_name() -> None:
    assert settings_of("speed=6,depth=1.5", None) == {"speed": 6.0, "depth": 1.5}
    with pytest.raises(ToolwearError, match="'speed=fast'"):
        settings_of("speed=fast", None)


@pytest.mark.parametrize("gone", ["published", "response"])
def test_a_set_of_which_a_question_is_asked_has_to_be_there(gone: str) -> None:
    values = LATHE.model_dump(mode="json")
    values["features"]["sets"] = [s for s in values["features"]["sets"] if s["name"] != gone]
    with pytest.raises(ToolwearError, match=f"needs '{gone}'"):
        contract.named(json.dumps(values))
