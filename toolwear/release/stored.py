"""Where the local registry's files of each version lie, read from its database without MLflow."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from toolwear.common.errors import ToolwearError
from toolwear.common.files import see_database
from toolwear.release.registry import PACKAGE, PRUNED

_SECONDS = 5.0
_VERSIONS = """
SELECT versions.version, package.value, pruned.value, runs.artifact_uri, storage_location
FROM model_versions AS versions
JOIN model_version_tags AS package
ON package.name = versions.name AND package.version = versions.version AND package.key = ?
LEFT JOIN model_version_tags AS pruned
ON pruned.name = versions.name AND pruned.version = versions.version AND pruned.key = ?
LEFT JOIN runs ON run_uuid = versions.run_id
WHERE current_stage != 'Deleted_Internal'
"""


@dataclass(frozen=True)
class Stored:
    """A registered version.

    Attributes:
        number: of the version.
        package: digest of its package.
        pruned: whether its files were removed on purpose.
        paths: of MLflow's files: those of its run and the logged model.
    """

    number: str
    package: str
    pruned: bool
    paths: tuple[Path, ...]


def versions(database: Path) -> list[Stored]:
    """Return what a registry's database names; nothing where there is none.

    Raises:
        ToolwearError: it can't be read.
    """
    if not see_database(database).exists():
        return []
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True, timeout=_SECONDS)
        ) as opened:
            rows = opened.execute(_VERSIONS, (PACKAGE, PRUNED)).fetchall()
    except sqlite3.Error as error:
        raise ToolwearError(
            f"The registry {database} can't be read ({error}); bring it back from a backup."
        ) from None
    return [
        Stored(
            str(number),
            str(package),
            pruned is not None,
            tuple(Path(unquote(urlsplit(uri).path)) for uri in (artifacts, stored) if uri),
        )
        for number, package, pruned, artifacts, stored in rows
    ]
