"""The page of the explain step: findings, quality of each method, pictures."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import Any

from toolwear.explain.methods.subject import Envelope

_STYLE = """body{font:15px/1.5 sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem}
img{max-width:100%;border:1px solid #d5d9e0;margin:.5rem 0 1.5rem}
table{border-collapse:collapse}
td,th{border:1px solid #d5d9e0;padding:.25rem .6rem;text-align:left}"""


def page(manifest: dict[str, Any], methods: dict[str, Envelope], pictures: list[Path]) -> str:
    """Return the page, self-contained; every text is escaped.

    Args:
        manifest: the step's manifest.
        methods: envelope by method.
        pictures: PNG files in the order of the page.
    """
    findings = "".join(f"<li>{escape(sentence)}</li>" for sentence in manifest["findings"])
    quality = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(_library(item))}</td>"
        f"<td>{escape(_figures(item['quality']))}</td></tr>"
        for name, item in methods.items()
    )
    agreement = "".join(
        f"<tr><td>{escape(row['sample_id'])}</td><td>{escape(row['kind'])}</td>"
        f"<td>{escape(row['label'])}</td><td>{row['worn']:.3f}</td>"
        f"<td>{escape(agreed['sentence'])}</td></tr>"
        for row, agreed in zip(manifest["rows"], manifest["agreement"]["rows"], strict=True)
    )
    images = "".join(
        f'<img alt="{escape(picture.stem[2:].replace("_", " "))}" '
        f'src="data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}">'
        for picture in pictures
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Feature attributions</title>
<style>{_STYLE}</style></head><body>
<h1>Feature attributions</h1>
<p>Model {escape(str(manifest["model_sha256"])[:12])}, rows of the split
{escape(manifest["split"])}, seed {manifest["seed"]}. These rows come from runs that the model was
trained on: they show what it does, not whether it would be right on a new run.</p>
<ul>{findings}</ul>
<h2>Reliability of each explanation</h2>
<table><tr><th>method</th><th>library</th><th>quality</th></tr>{quality}</table>
<h2>Where SHAP and LIME agree</h2>
<table><tr><th>sample</th><th>kind</th><th>recorded</th><th>P(worn)</th><th></th></tr>{agreement}
</table><h2>Pictures</h2>{images}</body></html>
"""


def _library(item: Envelope) -> str:
    return f"{item['meta']['library']} {item['meta']['version']}"


def _figures(quality: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in quality.items())


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
