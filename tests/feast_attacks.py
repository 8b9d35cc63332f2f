"""Feature stores with something in them that is not ours, each with code that leaves a mark."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dill  # type: ignore[import-untyped]

KINDS = (
    "on-demand view",
    "stream view",
    "batch transformation",
    "earlier version",
    "source of another class",
    "changed view",
    "another project",
    "no registry",
    "named pipe",
    "link to a device",
    "endless",
    "configuration",
)


def plant(folder: Path, kind: str, mark: Path) -> str:
    """Put something foreign into a store; return the words that have to name it.

    Args:
        folder: of the store.
        kind: of `KINDS`.
        mark: file that the code makes once it is run.
    """
    path = folder / "registry.db"
    if kind == "configuration":
        config = folder / "feature_store.yaml"
        config.write_text(config.read_text().replace("provider: local", "provider: evil.Provider"))
        return "another feature_store.yaml"
    if kind in _FILES:
        path.unlink()
        _FILES[kind][0](path)
        return _FILES[kind][1]
    from feast.protos.feast.core.Registry_pb2 import Registry

    registry = Registry()
    registry.ParseFromString(path.read_bytes())
    said = _CHANGES[kind](registry, mark)
    path.unlink()  # a store's files may be read-only
    path.write_bytes(registry.SerializeToString())
    return said


def source(mark: Path) -> str:
    """Return the source of a function, which makes the mark as soon as it is run."""
    return f"open({str(mark)!r}, 'w').close()\ndef udf(x):\n    return x\n"


class Bomb:
    """Makes the mark as soon as it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (str(self._mark), "w")


def _on_demand(registry: Any, mark: Path) -> str:
    view = registry.on_demand_feature_views.add()
    view.spec.name, view.spec.project, view.spec.mode = "risk", "toolwear", "pandas"
    view.spec.features.add(name="risk", value_type=5)
    projection = view.spec.sources["machine_levels"].feature_view_projection
    projection.feature_view_name = "machine_levels"
    _function(view.spec.feature_transformation.user_defined_function, mark)
    return "another on demand feature view 'risk'"


def _function(function: Any, mark: Path) -> None:
    function.name = "udf"
    function.body_text = source(mark)
    function.body = dill.dumps(Bomb(mark))


def _stream(registry: Any, mark: Path) -> str:
    view = registry.stream_feature_views.add()
    view.spec.name, view.spec.project, view.spec.mode = "live", "toolwear", "pandas"
    view.spec.batch_source.CopyFrom(registry.data_sources[0])
    view.spec.stream_source.CopyFrom(registry.data_sources[0])
    _function(view.spec.user_defined_function, mark)
    _function(view.spec.feature_transformation.user_defined_function, mark)
    return "another stream feature view 'live'"


def _batch(registry: Any, mark: Path) -> str:
    view = registry.feature_views[1]
    view.spec.mode = "pandas"
    _function(view.spec.feature_transformation.user_defined_function, mark)
    return f"another feature view {view.spec.name!r}"


def _earlier(registry: Any, mark: Path) -> str:
    _batch(registry, mark)
    view = registry.feature_views[1]
    registry.feature_view_version_history.records.add(
        feature_view_name=view.spec.name,
        project_id="toolwear",
        feature_view_type="feature_view",
        feature_view_proto=view.SerializeToString(),
    )
    view.spec.ClearField("feature_transformation")
    view.spec.ClearField("mode")
    return f"another feature view {view.spec.name!r}"


def _class(registry: Any, mark: Path) -> str:
    (mark.parent / "evil.py").write_text(source(mark))
    made = registry.data_sources.add()
    made.CopyFrom(next(item for item in registry.data_sources if item.HasField("file_options")))
    made.type = made.CUSTOM_SOURCE
    made.name, made.data_source_class_type = "mine", "evil.EvilSource"
    return "another data source 'mine'"


def _changed(registry: Any, _mark: Path) -> str:
    registry.feature_views[1].spec.features[0].value_type = 2
    return f"another feature view {registry.feature_views[1].spec.name!r}"


def _project(registry: Any, _mark: Path) -> str:
    registry.projects.add().spec.name = "x" * 1000
    return f"another project '{'x' * 60}...'"


def _endless(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


_CHANGES: dict[str, Callable[[Any, Path], str]] = {
    "on-demand view": _on_demand,
    "stream view": _stream,
    "batch transformation": _batch,
    "earlier version": _earlier,
    "source of another class": _class,
    "changed view": _changed,
    "another project": _project,
}
_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no registry": (
        lambda path: path.write_bytes(b"\xff" * 100),
        "a file registry.db that is no registry",
    ),
    "named pipe": (os.mkfifo, "registry.db can't be read: it is not a regular file"),
    "link to a device": (
        lambda path: path.symlink_to("/dev/zero"),
        "registry.db can't be read: it is a link",
    ),
    "endless": (
        _endless,
        "registry.db can't be read: it is longer than 4,194,304 bytes",
    ),
}
