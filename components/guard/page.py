"""The page a person opens: the verdict, what was found, then run by run; nothing from elsewhere."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import jinja2

from toolwear.common import jsonfile

_TEMPLATE = "guard.html.j2"


def write(path: Path, result: dict[str, Any], picture: Path) -> None:
    """Write the page.

    Args:
        path: HTML file to write.
        result: content of guard.json.
        picture: PNG file to show.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    image = base64.b64encode(picture.read_bytes()).decode()
    jsonfile.write_text(
        path, environment.get_template(_TEMPLATE).render(result=result, image=image)
    )
