"""Makes a compiled graph lighter, and estimates what a run of it weighs in the cluster.

Kubeflow Pipelines runs a graph as a workflow of Argo's, one object that holds every node with all
that the node was given. Past 1 MiB Argo compresses the nodes, which Kubeflow Pipelines then cannot
read: a run's list of tasks stands still, and a failed run does not name its failed step.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from typing import Any

LIMIT_BYTES = 1 << 20  # from which on Argo compresses the nodes
BUDGET_BYTES = LIMIT_BYTES * 95 // 100
# What Argo and Kubeflow Pipelines add: to a node its names, times and place; to the pod of a task
# the launcher's options, volumes and environment; to an artifact its address and its metadata.
# By these numbers the graph weighed 1.05 MiB before it was made lighter; on a cluster it was then
# seen to pass the limit and to stay below 1.4 million bytes.
_NODE, _POD, _ARTIFACT = 1000, 6000, 700

Spec = Mapping[str, Any]


def lighten(pipeline: Any) -> None:
    """Take what only a reader of our code needs out of a graph: it goes to every node.

    Args:
        pipeline: the protocol buffer of a compiled graph, `PipelineSpec`; it is changed.
    """
    for executor in pipeline.deployment_spec["executors"].values():
        command = executor["container"]["command"]
        command[len(command) - 1] = without_docstring(command[len(command) - 1])
    for component in pipeline.components.values():
        for definitions in (component.input_definitions, component.output_definitions):
            for items in (definitions.parameters, definitions.artifacts):
                for item in items.values():
                    item.ClearField("description")


def without_docstring(source: str) -> str:
    """Return the source of a component without the docstring of its function."""
    (function,) = [item for item in ast.parse(source).body if isinstance(item, ast.FunctionDef)]
    if ast.get_docstring(function) is None:
        return source
    first = function.body[0]
    lines = source.splitlines(keepends=True)
    return "".join([*lines[: first.lineno - 1], *lines[first.end_lineno :]])


def weight(spec: Spec, platform: Spec) -> int:
    """Return the bytes of the workflow when a run has gone the heaviest way to its end.

    Args:
        spec: of the pipeline, as compiled.
        platform: what it says to Kubernetes, the second document of the compiled file.
    """
    executors = spec["deploymentSpec"]["executors"]
    kubernetes = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    total = sum(_escaped(one) for one in (*spec["components"].values(), spec["root"]))
    total += sum(_escaped(one) for one in (*executors.values(), *kubernetes.values()))
    return total + _of_graph(spec, kubernetes, spec["root"]["dag"])


def _of_graph(spec: Spec, kubernetes: Spec, graph: Spec) -> int:
    """Return what the nodes of a graph weigh; of the branches of one choice the heaviest runs."""
    branches, total = [], 0
    for task in graph["tasks"].values():
        component = spec["components"][task["componentRef"]["name"]]
        asked = _escaped(component) + _escaped(task) + _NODE  # of the node that prepares it
        if "dag" in component:
            inside = _of_graph(spec, kubernetes, component["dag"]) + _NODE
            if task.get("triggerPolicy", {}).get("condition"):
                total += asked
                branches.append(inside)
            else:
                total += asked + inside
        else:
            total += asked + _of_task(spec, kubernetes, task, component)
    return total + max(branches, default=0)


def _of_task(spec: Spec, kubernetes: Spec, task: Spec, component: Spec) -> int:
    label = component["executorLabel"]
    container, place = spec["deploymentSpec"]["executors"][label], kubernetes[label]
    artifacts = sum(1 for _ in _artifacts(component))
    # Its pod's specification is told by the node that prepares it, to the task, and to the pod.
    pod = _escaped(container) + _escaped(component) + _escaped(place)
    pod += _escaped(task.get("inputs", {})) + artifacts * _ARTIFACT + _POD
    nodes = 3 if "retryPolicy" not in task else 4
    return _escaped(container) + _escaped(place) + nodes * (pod + _NODE)


def _artifacts(component: Spec) -> Iterator[str]:
    for side in ("inputDefinitions", "outputDefinitions"):
        yield from component.get(side, {}).get("artifacts", {})


def _escaped(value: Any) -> int:
    """Return the bytes of a value as a text in a JSON document, as Argo keeps parameters."""
    return len(json.dumps(json.dumps(value)))
