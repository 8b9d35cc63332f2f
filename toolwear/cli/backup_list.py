"""The list in a backup: what is in it, of which home and when, with a seal over all of that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from toolwear.cli.backup_contents import is_part
from toolwear.common.digest import file_digest
from toolwear.common.errors import ToolwearError
from toolwear.workspace import seal
from toolwear.workspace.seal import Key

FORMAT: Final = 3
_Text = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=4096)]
_Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or str(path) != name or not is_part(path):
        raise ValueError(f"{name!r} is nothing that a backup holds")
    return name


def _neighbour(target: str) -> str:
    if "/" in target or target in ("", ".", ".."):
        raise ValueError(f"a link to {target!r} leads elsewhere")
    return target


_Name = Annotated[_Text, AfterValidator(_inside)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Content(_Strict):
    """One file."""

    sha256: _Digest
    bytes: Annotated[int, Field(ge=0)]


class Audit(_Strict):
    """How far the audit log goes."""

    count: Annotated[int, Field(ge=0)]
    head: _Digest


class Seal(_Strict):
    """The HMAC of everything else on the list, and the id of the key."""

    key: _Text
    hmac: _Text


class Manifest(_Strict):
    """The list: what is in a backup, of which home and when, and what the home lacked."""

    format: Literal[3]
    home: _Text
    when: AwareDatetime
    files: dict[_Name, Content]
    folders: list[_Name]
    links: dict[_Name, Annotated[_Text, AfterValidator(_neighbour)]]
    missing: list[_Text]
    audit: Audit
    seal: Seal | None = None

    def sealed(self, key: Key) -> Manifest:
        """Return it with the key's seal."""
        hmac = key.seal(seal.BACKUP, self._content())
        return self.model_copy(update={"seal": Seal(key=key.id, hmac=hmac)})

    def unsealed(self, keys: Mapping[str, Key]) -> str:
        """Return why it is not known to be ours, as the end of a sentence; empty if it is.

        Raises:
            ValueError: a key that is here has sealed something else.
        """
        if self.seal is None:
            return "has no seal"
        if self.seal.key not in keys:
            return f"was sealed with the key {self.seal.key}, which is not here"
        if not keys[self.seal.key].fits(seal.BACKUP, self._content(), self.seal.hmac):
            raise ValueError("its list was changed after it was sealed")
        return ""

    def _content(self) -> bytes:
        content = self.model_dump(mode="json", exclude={"seal"})
        return json.dumps(content, sort_keys=True).encode()

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(content.bytes for content in self.files.values())


def listed(folder: Path, **about: Any) -> Manifest:
    """Return the list of a folder, without a seal; `about` is the rest of it.

    Raises:
        ToolwearError: the folder holds a name or a link that no backup may have.
    """
    files, folders, links = {}, [], {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            links[name] = str(path.readlink())
        elif path.is_dir():
            folders.append(name)
        else:
            files[name] = Content(sha256=file_digest(path), bytes=path.stat().st_size)
    try:
        return Manifest(format=FORMAT, files=files, folders=folders, links=links, **about)
    except ValidationError as error:
        raise ToolwearError(f"The home cannot be backed up: {_told(error)}; mend that.") from None


def parsed(text: bytes) -> Manifest:
    """Return the list of a backup.

    Raises:
        ValueError: it has not the shape of one.
    """
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise ValueError(f"its list is none of ours ({_told(error)})") from None


def _told(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = [str(part) for part in fault["loc"][:1]]
    if where and where[0] in ("files", "links"):
        where += [repr(name)[:200] for name in fault["loc"][1:2]]  # it may hold anything
    return ": ".join([*where, fault["msg"]])
