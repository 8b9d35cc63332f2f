"""The Data Docs of Great Expectations, mended so that they neither need nor reach the network."""

from __future__ import annotations

import re
import shutil
from copy import copy
from pathlib import Path

import great_expectations as gx
import pandas as pd
from great_expectations.core.run_identifier import RunIdentifier

from components.validate.engine import Engine

_SITE = "validation"
# Every page loads a dozen scripts and styles from public CDNs and a logo with the context's id
# in its address. On the pages of results scripts only sort and filter, so they can go; the index
# lives by them and is written anew.
_SCRIPT = re.compile(r"<script\b.*?</script\s*>", re.IGNORECASE | re.DOTALL)
_REMOTE_ELEMENT = re.compile(
    r"<(?:link|img|iframe|source)\b[^>]*?(?:href|src)\s*=\s*[\"']?(?:https?:)?//[^>]*>",
    re.IGNORECASE | re.DOTALL,
)
_REMOTE_URL = re.compile(r"url\(\s*[\"']?(?:https?:)?//[^)]*\)", re.IGNORECASE)
_REMOTE_LINK = re.compile(r"\bhref\s*=\s*([\"'])(?:https?:)?//.*?\1", re.IGNORECASE)
_STYLE = """<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 75rem;
       padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem; }
th, td { border-bottom: 1px solid #ddd; padding: .3rem .5rem; text-align: left;
         vertical-align: top; }
ul { padding-left: 1.2rem; } .modal, .navbar-toggler, .cta-footer { display: none; }
footer { position: static !important; }
.fa-check-circle::before { content: "\\2713"; } .fa-times::before { content: "\\2717"; }
.fa-exclamation-triangle::before { content: "\\26A0"; }
</style>"""
_INDEX = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Data Docs</title>
{style}
</head>
<body>
<h1>Data Docs</h1>
<p>Great Expectations on the first rows, the runs and the signals.
The whole data and the verdict stand in <a href="../report.html">report.html</a>.</p>
{links}
</body>
</html>
"""


class DataDocs:
    """Collects validations of whole frames and renders them as a static site."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._context = engine.context
        self._whole = engine.whole
        self._folder = folder

    def add(self, frame: pd.DataFrame, suite: gx.ExpectationSuite) -> None:
        """Validate the frame for the site, with counts and a few examples of each failure."""
        # The context gives what it keeps an id, and an expectation with an id fits no other suite.
        kept = gx.ExpectationSuite(suite.name, [copy(e) for e in suite.expectations])
        definition = self._context.validation_definitions.add(
            gx.ValidationDefinition(
                name=suite.name, data=self._whole, suite=self._context.suites.add(kept)
            )
        )
        definition.run(
            batch_parameters={"dataframe": frame},
            result_format="SUMMARY",
            run_id=RunIdentifier(run_name=_SITE),
        )

    def write(self) -> None:
        """Render the site into the folder and take every reference to the network out of it."""
        self._context.add_data_docs_site(
            site_name=_SITE,
            site_config={
                "class_name": "SiteBuilder",
                "store_backend": {
                    "class_name": "TupleFilesystemStoreBackend",
                    "base_directory": str(self._folder),
                },
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            },
        )
        self._context.build_data_docs(site_names=[_SITE])
        # Only the removed scripts' walkthrough and the removed logos use these megabytes.
        shutil.rmtree(self._folder / "static" / "images")
        for page in self._folder.rglob("*.html"):
            page.write_text(mend(page.read_text(encoding="utf-8")), encoding="utf-8")
        self._write_index()

    def _write_index(self) -> None:
        links = []
        for title, kind in (
            ("What was found", "validations"),
            ("What is expected", "expectations"),
        ):
            pages = sorted((self._folder / kind).rglob("*.html"))
            links.append(f"<h2>{title}</h2><ul>")
            for page in pages:
                path = page.relative_to(self._folder)
                name = path.with_suffix("").parts[1]
                links.append(f'<li><a href="{path.as_posix()}">{name}</a></li>')
            links.append("</ul>")
        html = _INDEX.format(style=_STYLE, links="\n".join(links))
        (self._folder / "index.html").write_text(html, encoding="utf-8")


def mend(html: str) -> str:
    """Return a page without scripts and without anything fetched from or linked to the network."""
    html = _REMOTE_ELEMENT.sub("", _SCRIPT.sub("", html))
    html = _REMOTE_LINK.sub("", _REMOTE_URL.sub("none", html))
    return html.replace("</head>", f"{_STYLE}</head>", 1)
