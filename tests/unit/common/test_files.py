"""What a server reads is a regular file of a bounded size, and a graph has all of itself inside."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.packages import make_package
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.files import read_end, read_regular
from toolwear.common.lock import exclusive
from toolwear.common.private import keep_private
from toolwear.model.onnx_model import INPUT, PROBABILITY_OUTPUT, OnnxModel
from toolwear.model.package import GOLDEN_FILE, load_package


def a_link(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.mkdir()


def a_long_file(path: Path) -> None:
    path.write_bytes(b"abcde")


@pytest.mark.parametrize("make", [a_link, a_pipe, a_folder, a_long_file])
def test_only_a_regular_short_file_is_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "file")
    with pytest.raises(ToolwearError, match="can't be read"):
        read_regular(tmp_path / "file", 4)


def test_a_file_of_just_the_size_is_read_and_a_missing_one_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abcd")
    assert read_regular(tmp_path / "file", 4) == b"abcd"
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "other", 4)


def test_a_package_whose_member_is_a_link_is_refused(tmp_path: Path) -> None:
    package = make_package(tmp_path)
    copy = shutil.copytree(package.folder, tmp_path / "copy")
    copy.chmod(0o755)
    (copy / GOLDEN_FILE).unlink()
    a_link(copy / GOLDEN_FILE)
    with pytest.raises(ToolwearError, match=r"golden\.json can't be read: it is a link"):
        load_package(copy, package.digest)


def test_weights_outside_of_the_graph_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = numpy_helper.from_array(np.ones((2, 2)), "weights")
    (tmp_path / "weights.bin").write_bytes(weights.raw_data)
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    place = weights.external_data.add()
    place.key, place.value = "location", "weights.bin"
    ends = [
        helper.make_tensor_value_info(name, TensorProto.DOUBLE, [None, 2])
        for name in (INPUT, PROBABILITY_OUTPUT)
    ]
    node = helper.make_node("MatMul", [INPUT, "weights"], [PROBABILITY_OUTPUT])
    graph = helper.make_graph([node], "graph", ends[:1], ends[1:], [weights])
    model = onnx.helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    )
    monkeypatch.chdir(tmp_path)
    plain = ort.SessionOptions()
    plain.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    # What ONNX Runtime does by itself:
    session = ort.InferenceSession(model.SerializeToString(), plain)
    assert session.run(None, {INPUT: np.ones((1, 2))})[0].tolist() == [[2.0, 2.0]]
    with pytest.raises(ort.capi.onnxruntime_pybind11_state.Fail, match="External data path"):
        OnnxModel(model.SerializeToString())


def test_what_others_may_read_is_narrowed_and_links_lead_nowhere(tmp_path: Path) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    (home / "payloads").mkdir(parents=True)
    outside.mkdir()
    for path in (home / "records.db", home / "payloads" / "x.parquet", outside / "kept"):
        path.write_text("x")
        path.chmod(0o664)
    (home / "link").symlink_to(outside)
    (home / "tool").write_text("x")
    (home / "tool").chmod(0o755)
    before = os.umask(0)
    try:
        keep_private(home)
        jsonfile.write(home / "new" / "file.json", {})
        (home / "other").touch()
    finally:
        os.umask(before)
    modes = {
        path.relative_to(tmp_path).as_posix(): path.lstat().st_mode & 0o777
        for path in (*home.rglob("*"), outside / "kept")
        if not path.is_symlink()
    }
    assert modes == {
        "home/records.db": 0o600,
        "home/payloads": 0o700,
        "home/payloads/x.parquet": 0o600,
        "home/tool": 0o700,
        "home/new": 0o700,
        "home/new/file.json": 0o600,
        "home/other": 0o600,
        "outside/kept": 0o664,
    }


@pytest.mark.parametrize("make", [a_link, a_pipe, a_folder])
def test_a_lock_that_is_no_file_is_told_and_nobody_waits(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "file.lock")
    with (
        pytest.raises(ToolwearError, match=r"file\.lock can't be read"),
        exclusive(tmp_path / "file.lock", "the test"),
    ):
        pass


def test_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"a" * 1000 + b"the end")
    assert read_end(tmp_path / "log", 7) == "the end"
    a_pipe(tmp_path / "pipe")
    with pytest.raises(ToolwearError, match="not a regular file"):
        read_end(tmp_path / "pipe", 7)
