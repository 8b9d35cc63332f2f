"""`/docs`: a server's OpenAPI document as one page that needs no script and no other host."""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from html import escape
from typing import Any

from starlette.responses import HTMLResponse

PATH = "/docs"
_STYLE = """
:root { background: Canvas; color: CanvasText; color-scheme: light dark;
  font: 16px/1.5 system-ui, sans-serif }
a { color: inherit }
body { margin: 0 auto; max-width: 60rem; padding: 1rem }
h2 { border-top: 1px solid; font: 600 1rem/1.5 ui-monospace, monospace; margin-top: 2rem;
  overflow-wrap: anywhere; padding-top: 1rem }
pre { border: 1px solid; overflow-x: auto; padding: .5rem }
dt { font-weight: 600 } dd { margin-left: 1.5rem } summary { cursor: pointer }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_JSON = "application/json"
_EXAMPLE = "<h3>Example</h3>"


def response(document: Mapping[str, Any]) -> HTMLResponse:
    """Return the page of a document."""
    return HTMLResponse(page(document), headers=_HEADERS)


def page(document: Mapping[str, Any]) -> str:
    """Return the page: each path with what it takes, an example, and what it answers.

    Args:
        document: of OpenAPI 3.1, whose parameters and responses may refer to its components.
    """
    info = document["info"]
    title = escape(info["title"])
    found = _resolver(document)
    operations = [
        _operation(method, path, operation, item.get("parameters", []), found)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    ]
    operations.sort(key=lambda one: _EXAMPLE not in one)  # what most come for
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main><h1>{title}</h1>"
        f"<p>{escape(info['description'])}</p>"
        '<p>For programs: <a href="/openapi.json">/openapi.json</a>. In the examples, '
        "<code>$URL</code> is the address of this server.</p>"
        f"{''.join(operations)}</main></body></html>"
    )


Found = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def _resolver(document: Mapping[str, Any]) -> Found:
    def found(item: Mapping[str, Any]) -> Mapping[str, Any]:
        if "$ref" not in item:
            return item
        value: Any = document
        for key in item["$ref"].removeprefix("#/").split("/"):
            value = value[key]
        return dict(value)

    return found


def _operation(
    method: str, path: str, operation: Mapping[str, Any], of_path: list[Any], found: Found
) -> str:
    parameters = [found(one) for one in (*of_path, *operation.get("parameters", []))]
    body = operation.get("requestBody", {}).get("content", {})
    told = f"{operation['summary']}. {operation.get('description', '')}"
    parts = [
        f"<h2>{method.upper()} {escape(path)}</h2><p>{escape(told)}</p>",
        _list("Parameters", ((one["name"], _parameter(one)) for one in parameters)),
    ]
    example = body.get(_JSON, {}).get("example")
    if example is not None:
        parts.append(f"{_EXAMPLE}{_block(_curl(path, parameters, example))}")
    kinds = ", ".join(body)
    if _JSON not in body and body:
        parts.append(f"<p>Body: a file, {escape(kinds)}.</p>")
    elif body:
        parts.append(_schema(f"Body ({kinds})", body[_JSON]["schema"]))
    answers = {status: found(one) for status, one in operation["responses"].items()}
    parts.append(_list("Answers", ((key, one["description"]) for key, one in answers.items())))
    for status, one in answers.items():
        schema = one.get("content", {}).get(_JSON, {}).get("schema")
        if status.startswith("2") and schema:
            parts.append(_schema(f"Body of {status}", schema))
    return f"<section>{''.join(parts)}</section>"


def _parameter(one: Mapping[str, Any]) -> str:
    needed = "needed" if one.get("required") else "may be left out"
    schema = one["schema"]
    form = schema.get("pattern") or ", ".join(map(str, schema.get("enum", [])))
    told = (f"in the {one['in']}, {needed}", one.get("description", ""), form)
    return "; ".join(part for part in told if part)


def _curl(path: str, parameters: list[Mapping[str, Any]], example: Any) -> str:
    for one in parameters:
        values = one["schema"].get("enum")
        if one["in"] == "path" and values:
            path = path.replace(f"{{{one['name']}}}", str(values[0]))
    text = shlex.quote(json.dumps(example))
    return f"curl -s $URL{path} -H 'content-type: {_JSON}' \\\n  -d {text}"


def _list(title: str, items: Iterator[tuple[str, str]]) -> str:
    told = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in items)
    return f"<h3>{title}</h3><dl>{told}</dl>" if told else ""


def _schema(title: str, schema: Any) -> str:
    text = _block(json.dumps(schema, indent=2))
    return f"<details><summary>{escape(title)}</summary>{text}</details>"


def _block(text: str) -> str:
    return f'<pre tabindex="0">{escape(text)}</pre>'  # a keyboard can scroll it
