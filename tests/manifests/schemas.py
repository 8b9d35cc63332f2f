"""Strict validation: every field has to be known and of its type.

Kubernetes' own kinds are checked against the models of its Python client, which are generated from
its OpenAPI document; custom kinds against their CustomResourceDefinitions.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from kubernetes import client

from tools.rendered import Object

# Those of KServe, the Gateway API and cert-manager, a folder for each; megabytes, so not kept here.
CRDS = os.environ.get("TOOLWEAR_CRDS", "")
_GROUPS = {
    "v1": "V1",
    "apps/v1": "V1",
    "batch/v1": "V1",
    "policy/v1": "V1",
    "autoscaling/v2": "V2",
    "networking.k8s.io/v1": "V1",
    "rbac.authorization.k8s.io/v1": "V1",
}
_SIMPLE: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
    "datetime": str,
}
_CLOSED = "x-kubernetes-preserve-unknown-fields"


def faults(item: Object) -> list[str]:
    """Return what is wrong with an object, one sentence each."""
    where = f"{item['kind']} {item['metadata']['name']}"
    if item["apiVersion"] in _GROUPS:
        # Its RBAC subject is the one model that carries its group in its name.
        return list(_model(item, _GROUPS[item["apiVersion"]] + item["kind"], where))
    schema = _definition(item["apiVersion"], item["kind"])
    if schema is None:
        return [f"{where}: {item['apiVersion']} is neither known nor defined"]
    validator = jsonschema.Draft202012Validator(schema)
    return [
        f"{where}{error.json_path.removeprefix('$')}: {error.message[:300]}"
        for error in validator.iter_errors(item)
    ]


def _model(value: Any, name: str, where: str) -> Iterator[str]:
    """Yield the faults of a value of a model of Kubernetes' client, or of a type named like it."""
    if value is None:
        yield f"{where}: there is nothing"
    elif name.startswith("list["):
        yield from _list(value, name[5:-1], where)
    elif name.startswith("dict("):
        yield from _map(value, name[5:-1].split(", ", 1)[1], where)
    elif name == "object":  # int or string, and the few places that take anything
        return
    elif name in _SIMPLE:
        right = isinstance(value, _SIMPLE[name]) and not (
            name != "bool" and isinstance(value, bool)
        )
        if not right:
            yield f"{where}: {value!r} is no {name}"
    elif not isinstance(value, dict):
        yield f"{where}: {value!r} is no {name}"
    else:
        yield from _fields(value, getattr(client, name), where)


def _list(value: Any, inner: str, where: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{where}: {value!r} is no list"
        return
    for number, item in enumerate(value):
        yield from _model(item, inner, f"{where}[{number}]")


def _map(value: Any, inner: str, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: {value!r} is no map"
        return
    for key, item in value.items():
        yield from _model(item, inner, f"{where}.{key}")


def _fields(value: dict[str, Any], model: Any, where: str) -> Iterator[str]:
    fields = {json: attribute for attribute, json in model.attribute_map.items()}
    for key, item in value.items():
        if key not in fields:
            yield f"{where}: {model.__name__} has no field {key}"
        else:
            yield from _model(item, model.openapi_types[fields[key]], f"{where}.{key}")
    configuration = client.Configuration()
    configuration.client_side_validation = True
    known = {fields[key]: item for key, item in value.items() if key in fields}
    try:
        model(**known, local_vars_configuration=configuration)
    except ValueError as error:
        yield f"{where}: {error}"


@cache
def _definitions() -> dict[tuple[str, str], dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted(Path(CRDS).glob("*/*.yaml")):
        text = path.read_text(encoding="utf-8")
        group = re.search(r"^  group: (\S+)$", text, re.M)
        kind = re.search(r"^    kind: (\S+)$", text, re.M)
        if group and kind:
            found[group[1], kind[1]] = {"path": path}
    return found


@cache
def _definition(api_version: str, kind: str) -> dict[str, Any] | None:
    group, _, version = api_version.partition("/")
    known = _definitions().get((group, kind))
    if known is None:
        return None
    crd = yaml.safe_load(known["path"].read_text(encoding="utf-8"))
    for offered in crd["spec"]["versions"]:
        if offered["name"] == version and offered["served"]:
            schema = _closed(offered["schema"]["openAPIV3Schema"])
            # The API server checks these itself.
            schema["properties"] |= {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": {"type": "object"},
            }
            return schema
    return None


def _closed(schema: Any) -> Any:
    """Return a structural schema as JSON schema that refuses fields it does not name."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    result = {key: _closed(item) for key, item in schema.items() if not _dropped(key, item)}
    if "properties" in schema:
        result["properties"] = {key: _closed(item) for key, item in schema["properties"].items()}
        if not schema.get(_CLOSED) and "additionalProperties" not in schema:
            result["additionalProperties"] = False
    if schema.get("nullable") and isinstance(schema.get("type"), str):
        result["type"] = [schema["type"], "null"]
    return result


def _dropped(key: str, item: Any) -> bool:
    annotations = key in ("description", "default", "nullable", "format") and not isinstance(
        item, dict
    )
    return key.startswith("x-kubernetes-") or annotations or key == "properties"
