"""Which column of a file is which of ours, and which is probably meant where names differ."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from toolwear.common.errors import ToolwearError
from toolwear.dataset.contract import DataSet, Phases

_ENOUGH = 0.62  # likeness from which a name is proposed
_MOST = 0.5  # share of the missing columns that have to be there under other names
_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# Words of controls and of people for the same thing; of names, after they were cut into words.
_SYNONYMS = {
    **dict.fromkeys(("act", "ist", "measured", "actual"), "actual"),
    **dict.fromkeys(
        ("set", "cmd", "commanded", "soll", "target", "setpoint", "nominal"), "command"
    ),
    **dict.fromkeys(("pos", "position"), "position"),
    **dict.fromkeys(("vel", "velocity", "speed"), "velocity"),
    **dict.fromkeys(("acc", "accel", "acceleration"), "acceleration"),
    **dict.fromkeys(("curr", "cur", "current"), "current"),
    **dict.fromkeys(("volt", "voltage"), "voltage"),
    **dict.fromkeys(("fb", "feedback"), "feedback"),
    **dict.fromkeys(("out", "output"), "output"),
    **dict.fromkeys(("pwr", "power"), "power"),
    **dict.fromkeys(("sys", "system"), "system"),
    **dict.fromkeys(("sp", "spindle", "s"), "s"),
    **dict.fromkeys(("prog", "program"), "program"),
    **dict.fromkeys(("no", "nr", "num", "number"), "number"),
    **dict.fromkeys(("seq", "sequence", "line", "block"), "sequence"),
    **dict.fromkeys(("process", "phase", "step", "stage", "operation"), "process"),
}
_DROPPED = frozenset({"axis", "1", "m", "the", "of", "machine", "machining"})


class OtherNamesError(ToolwearError):
    """Columns are there under other names.

    Attributes:
        rename: our name = the name that is probably meant.
    """

    def __init__(self, sentence: str, rename: Mapping[str, str]) -> None:
        super().__init__(sentence)
        self.rename = dict(rename)


def rename_table(rename: Mapping[str, str]) -> str:
    """Return a map of names as the table of dataset.toml."""
    lines = (
        f"{name} = {json.dumps(theirs, ensure_ascii=False)}" for name, theirs in rename.items()
    )
    return "\n".join(["[columns.rename]", *lines]) + "\n"


def places(
    file: str,
    header: Sequence[str],
    dataset: DataSet,
    sample: Callable[[], Sequence[Sequence[str]]] = tuple,
) -> dict[str, int]:
    """Return the position of each column of `DataSet.raw` in a file's header.

    Args:
        file: its name.
        header: names of its columns.
        dataset: the contract that reads it.
        sample: gives cells of its first rows; a column of phases is known by what is in it.

    Raises:
        OtherNamesError: columns are missing, and most of them seem to be there by another name.
        ToolwearError: columns are missing, or there twice.
    """
    theirs = {name: dataset.columns.rename.get(name, name) for name in dataset.in_files}
    twice = next((n for n in theirs.values() if header.count(n) > 1), None)
    if twice is not None:
        raise ToolwearError(f"{file} line 1 names the column '{twice}' twice; keep one.")
    missing = [name for name, their in theirs.items() if their not in header]
    if missing:
        extra = [n for n in dict.fromkeys(header) if n and n not in theirs.values()]
        found = proposal(missing, extra, dataset.phases, header, sample())
        raise _missing(file, missing, theirs, found)
    return {name: header.index(their) for name, their in theirs.items()}


def _missing(
    file: str, missing: list[str], theirs: Mapping[str, str], found: dict[str, str]
) -> ToolwearError:
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    lacks = f"{file} lacks the column '{theirs[missing[0]]}'{more}"
    if not found or len(found) < _MOST * len(missing):
        return ToolwearError(
            f"{lacks}; export with these columns, or say their names under [columns.rename] in "
            "dataset.toml."
        )
    ours, their = next(iter(found.items()))
    rest = len(missing) - len(found)
    open_ones = f" ({rest} could not be matched)" if rest else ""
    return OtherNamesError(
        f"{file}: {len(found)} of the {len(missing)} missing columns seem to be there under other "
        f"names{open_ones}, such as '{their}' for '{ours}'; check the map that `toolwear data` "
        "prints and paste it into a dataset.toml beside the recordings, or let `toolwear data "
        "--write-dataset FILE` write it.",
        {name: found[name] for name in theirs if name in found},
    )


def proposal(
    missing: Sequence[str],
    extra: Sequence[str],
    phases: Phases,
    header: Sequence[str] = (),
    sample: Sequence[Sequence[str]] = (),
) -> dict[str, str]:
    """Return for missing columns the names that are probably meant, each given once."""
    found: dict[str, str] = {}
    theirs = _phases_in(extra, phases, header, sample)
    if phases.column in missing and theirs:
        found[phases.column] = theirs
    left = [name for name in missing if name not in found]
    names = [name for name in extra if name not in found.values()]
    if not left or not names:
        return found
    alike = np.array([[likeness(ours, theirs) for theirs in names] for ours in left])
    for row, column in zip(*linear_sum_assignment(-alike), strict=True):
        if alike[row, column] >= _ENOUGH:
            found[left[row]] = names[column]
    return found


def _phases_in(
    extra: Sequence[str], phases: Phases, header: Sequence[str], sample: Sequence[Sequence[str]]
) -> str | None:
    """Return the one column whose cells are all phases."""
    known = {phase.lower() for phase in phases.names}
    found = []
    for name in extra:
        place = header.index(name) if name in header else -1
        cells = {row[place].strip().lower() for row in sample if 0 <= place < len(row)}
        if cells and cells <= known:
            found.append(name)
    return found[0] if len(found) == 1 else None


def likeness(ours: str, theirs: str) -> float:
    """Return how alike two names of columns are, from 0 to 1."""
    a, b = _words(ours), _words(theirs)
    if not a or not b:
        return 0.0
    if a == b:
        return 1.0
    shared = 2 * len(a & b) / (len(a) + len(b))
    spelt = difflib.SequenceMatcher(None, plain(ours), plain(theirs)).ratio()
    # Of another axis it is another column, however alike the rest.
    if _axis(ours) != _axis(theirs):
        return 0.5 * max(shared, spelt)
    return max(shared, spelt)


def plain(name: str) -> str:
    """Return a name in lower case without anything but letters and digits."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _axis(name: str) -> str:
    word = re.match(r"[a-z]+", name.lower())
    first = _SYNONYMS.get(word[0], word[0]) if word else ""
    return first if first in ("x", "y", "z", "s") else ""


def _words(name: str) -> frozenset[str]:
    words = []
    for token in _TOKEN.findall(name):
        words += _split(token.lower())
    known = (_SYNONYMS.get(word, word) for word in words)
    return frozenset(word for word in known if word not in _DROPPED)


_KNOWN = sorted(
    {*_SYNONYMS, "dc", "bus", "inertia", "feedrate", "feed", "rate"}, key=len, reverse=True
)


def _split(token: str) -> list[str]:
    """Cut a token such as "actualposition" into known words, the longest first."""
    found = []
    rest = token
    while rest:
        word = next((w for w in _KNOWN if rest.startswith(w) and len(w) > 1), None)
        if word is None:
            return [token]
        found.append(word)
        rest = rest[len(word) :]
    return found


def watched(
    header: Sequence[str], taken: Collection[int], words: Collection[str]
) -> dict[str, int]:
    """Return the further columns whose plain names are among `words`, and where they are."""
    return {
        name: place
        for place, name in enumerate(header)
        if place not in taken and plain(name) in words
    }
