"""The model package: content-addressed, verified, the same bytes for the same content."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.packages import COLUMNS, make_package, parts
from toolwear.common.errors import ToolwearError
from toolwear.model.abstention import Abstention
from toolwear.model.onnx_model import OnnxModel
from toolwear.model.package import load_package, write_package
from toolwear.model.reference import reference_bytes, row_keys


def test_the_folder_is_named_by_the_digest_of_its_description(tmp_path: Path) -> None:
    package = make_package(tmp_path)
    head = (package.folder / "package.json").read_bytes()
    assert package.folder.name == package.digest == hashlib.sha256(head).hexdigest()
    assert package.features == COLUMNS
    assert package.model_sha256 == hashlib.sha256(package.model).hexdigest()


def test_the_same_content_gives_the_same_digest_and_is_written_once(tmp_path: Path) -> None:
    first = make_package(tmp_path / "a")
    again = make_package(tmp_path / "a")
    elsewhere = make_package(tmp_path / "b")
    assert first.digest == again.digest == elsewhere.digest
    assert [path.name for path in (tmp_path / "a").iterdir()] == [first.digest]
    assert make_package(tmp_path / "a", commit="f" * 40).digest != first.digest


def test_a_loaded_package_answers_its_golden_rows(tmp_path: Path) -> None:
    package = load_package(make_package(tmp_path).folder)
    golden = package.golden()
    model = OnnxModel(package.model)
    assert np.array_equal(model.predict_proba(golden.rows), golden.probabilities)
    assert np.array_equal(model.labels(golden.rows), golden.labels)
    reference = package.reference()
    assert reference["X"].shape == (50, len(COLUMNS))
    assert set(reference["trained_on"]) == set(row_keys(["01:0", "01:1"]))


def test_a_package_may_have_any_name_if_its_digest_is_given(tmp_path: Path) -> None:
    package = make_package(tmp_path / "packages")
    moved = shutil.copytree(package.folder, tmp_path / "models")
    assert load_package(moved, package.digest).digest == package.digest
    with pytest.raises(ToolwearError, match="does not say which package"):
        load_package(moved)


@pytest.mark.parametrize(
    "name",
    ["model.onnx", "package.json", "reference.npz", "golden.json", "metrics.json", "MODEL_CARD.md"],
)
def test_a_changed_byte_in_any_file_is_noticed(tmp_path: Path, name: str) -> None:
    package = make_package(tmp_path)
    path = package.folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    with pytest.raises(ToolwearError, match=r"was changed|not the registered"):
        load_package(package.folder)


def test_a_missing_and_an_additional_file_are_named(tmp_path: Path) -> None:
    package = make_package(tmp_path)
    extra = package.folder / "model.onnx.data"
    extra.touch()
    with pytest.raises(ToolwearError, match=r"model\.onnx\.data does not belong in"):
        load_package(package.folder)
    extra.unlink()
    (package.folder / "golden.json").unlink()
    with pytest.raises(ToolwearError, match=r"golden\.json is missing from"):
        load_package(package.folder)


def test_another_package_than_the_registered_one_is_refused(tmp_path: Path) -> None:
    package = make_package(tmp_path)
    with pytest.raises(ToolwearError, match="not the registered aaaaaaaaaaaa"):
        load_package(package.folder, "a" * 64)
    with pytest.raises(ToolwearError, match="is not a model package"):
        load_package(tmp_path / ("b" * 64))


def test_a_package_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    description, files = parts()
    broken = {**files, "model.onnx": "not bytes"}
    with pytest.raises(TypeError):
        write_package(tmp_path, description, broken)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="missing"):
        write_package(tmp_path, {}, files)


def test_the_reference_file_has_the_same_bytes_whatever_the_order_of_the_keys() -> None:
    X, y = np.zeros((2, 3)), np.array([0, 1])
    keys = row_keys(["01:5", "02:7", "03:1"])
    assert reference_bytes(X, y, keys) == reference_bytes(X, y, keys[::-1])


def test_not_sure_between_the_bounds_and_outside_the_envelope() -> None:
    rule = Abstention.of(("a", "b"), {"low": 0.2, "high": 0.8}, {"a": [0.0, 1.0]})
    assert rule.in_band(np.array([0.2, 0.21, 0.5, 0.8])).tolist() == [False, True, True, False]
    rows = np.array([[0.0, 1e9], [1.0, -1e9], [1.0001, 0.0], [-0.1, 0.0]])
    assert rule.outside(rows).any(axis=1).tolist() == [False, False, True, True]
    assert not Abstention.of(("a",), None, None).in_band(np.array([0.5])).any()
