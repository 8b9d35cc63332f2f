"""Compile the graph and name it by its content."""

from __future__ import annotations

import json
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from toolwear.common.digest import json_digest


class Graph(StrEnum):
    """The graphs that there are."""

    TRAINING = "training"
    SCORING = "scoring"


def compile_training(output: Path) -> str:
    """Compile `pipelines.training` to `output` and return the digest of the graph."""
    return compile_graph(Graph.TRAINING, output)


def compile_graph(graph: Graph, output: Path) -> str:
    """Compile a graph of `pipelines` to `output` and return its digest."""
    from kfp import compiler

    built = getattr(import_module(f"pipelines.{graph}"), graph)
    output.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(built, str(output))
    return graph_digest(output)


def graph_digest(path: Path) -> str:
    """Return the digest of a compiled spec, blind to the SDK's version and to its layout."""
    documents: list[dict[str, Any]] = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    documents[0].pop("sdkVersion", None)
    return json_digest(json.loads(json.dumps(documents)))
