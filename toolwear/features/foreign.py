"""What the description of a feature store holds beside our own definitions; nothing of it is run.

Feast runs source text and pickles that feature views carry as soon as it reads a registry.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from toolwear.common.files import read_regular

if TYPE_CHECKING:
    from feast.protos.feast.core.Registry_pb2 import Registry

REGISTRY_FILE, CONFIG_FILE = "registry.db", "feature_store.yaml"
_BYTES = 4 << 20  # ours has 12 KB
# What the registry says of itself, and what differs from one registry of ours to the next.
_OF_THE_FILE = frozenset({"registry_schema_version", "version_id", "last_updated"})
_TOLD = frozenset({"meta", "description", "project_uuid"})
_HISTORY = "feature_view_version_history"
_SHOWN = 60  # characters of a name that somebody else gave


def foreign(folder: Path, own: Path) -> str:
    """Return in a few words what is described in a folder and not in ours, "" if nothing is.

    Args:
        folder: of a store.
        own: folder to which our definitions have been applied.

    Raises:
        ToolwearError: a file is not regular, or too long.
    """
    from google.protobuf.message import DecodeError

    try:
        held = set(_contents(_parsed(folder)))
    except (FileNotFoundError, NotADirectoryError):
        held = set()
    except DecodeError:
        return f"a file {REGISTRY_FILE} that is no registry"
    for kind, name, _ in sorted(held - set(_contents(_parsed(own)))):
        shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
        return f"another {kind.removesuffix('s').replace('_', ' ')} {shown!r}"
    return "" if _configured(folder) in (None, _configured(own)) else f"another {CONFIG_FILE}"


def _parsed(folder: Path) -> Registry:
    from feast.protos.feast.core.Registry_pb2 import Registry

    registry = Registry()
    registry.ParseFromString(read_regular(folder / REGISTRY_FILE, _BYTES))
    return registry


def _configured(folder: Path) -> Any:
    """Return how Feast's own command line would open the store; None if it would not."""
    try:
        return yaml.safe_load(read_regular(folder / CONFIG_FILE, _BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError):
        return "broken"


def _contents(registry: Registry) -> Iterator[tuple[str, str, bytes]]:
    """Yield kind, name and definition of all that a registry holds, without times and words."""
    for field, value in registry.ListFields():
        if field.name in _OF_THE_FILE:
            continue
        if field.name == _HISTORY:
            yield from _versions(value)
            continue
        for item in value if field.is_repeated else (value,):
            yield field.name, _name(item), _stripped(item)


def _versions(history: Any) -> Iterator[tuple[str, str, bytes]]:
    """Yield earlier versions of views as what they are: Feast reads them, too."""
    from feast.protos.feast.core.FeatureView_pb2 import FeatureView

    for record in history.records:
        if record.feature_view_type != "feature_view":
            yield f"{record.feature_view_type}s", record.feature_view_name, b""
            continue
        view = FeatureView()
        view.ParseFromString(record.feature_view_proto)
        yield "feature_views", record.feature_view_name, _stripped(view)


def _name(item: Any) -> str:
    told = getattr(item, "spec", item)
    return str(getattr(told, "name", "") or getattr(told, "project", ""))


def _stripped(item: Any) -> bytes:
    for field, value in item.ListFields():
        if field.name in _TOLD:
            item.ClearField(field.name)
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for part in value if field.is_repeated else (value,):
                _stripped(part)
    data: bytes = item.SerializeToString(deterministic=True)
    return data
