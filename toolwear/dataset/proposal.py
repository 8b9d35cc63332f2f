"""Writes down what was found in files as a `dataset.toml`, for a person to check and complete."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from toolwear.dataset import schema
from toolwear.dataset.contract import MEAN, STD
from toolwear.dataset.look import RECORDING, Columns, Layout, columns_of, look

_LABEL = re.compile(
    r"worn|wear|condition|label|class|target|state|fail|fault|broken|verschlei", re.I
)
_MEASURED = re.compile(r"(^|_)vb|wear|flank|verschlei", re.I)
_WORN = re.compile(
    r"worn|stumpf|verschlissen|dull|blunt|bad|fail|fault|broken|defect|nok|true|yes|1", re.I
)
_WORN_WORD = re.compile(r"worn( out)?|dull|blunt|broken|used up|stumpf|verschlissen", re.I)
_NOT_WORN = re.compile(r"un|not|non|no\b|ok|good|new|fresh|sharp|false|0", re.I)
_FEW = 12  # kinds of a setting or a word
_WINDOW, _SHORTEST_WINDOW = 50, 5  # rows; of the usual length and of short recordings
_WINDOWS = 20  # of a recording, at least


@dataclass
class Proposal:
    """A `dataset.toml`.

    Attributes:
        text: of the file.
        told: what was found, a sentence each.
        asked: what could not be told and has to be said before the file can be used.
    """

    text: str = ""
    told: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Label:
    column: str
    of: str
    lines: list[str]


def propose(path: Path) -> Proposal:
    """Return what a `dataset.toml` of these recordings would say.

    Args:
        path: folder, or the file that holds all recordings.

    Raises:
        ToolwearError: they can't be read, or which row is of which recording can't be told.
    """
    found, made = look(path), Proposal()
    label = _label(found, made)
    apart = [label.column] if label.of == "row" else []
    columns = columns_of(found.rows, [*apart, *([found.id] if found.id else [])])
    names = _names([*columns.signals, *([columns.phases] if columns.phases else [])])
    sections = [
        _about(path),
        _recordings(found, columns, made),
        ["[label]", *label.lines],
        _settings(found, label, set(map(str.lower, names.values())), made),
        _phases(found, columns, names, made),
        _signals(found, columns, names, made),
        _columns(columns, names, made),
        _features(found, [names[name] for name in columns.signals]),
    ]
    made.text = "\n\n".join("\n".join(section) for section in sections if section) + "\n"
    return made


def _q(text: object) -> str:
    return json.dumps(str(text), ensure_ascii=False)


def _list(values: Iterable[object]) -> str:
    return "[" + ", ".join(_q(value) for value in values) + "]"


def _about(path: Path) -> list[str]:
    base = path.resolve().name if path.is_dir() else path.stem
    slug = re.sub(r"[^a-z0-9]+", "_", base.lower()).strip("_")
    name = slug if slug[:1].isalpha() else f"data_{slug}"
    return [
        "# A proposal: check every line. docs/datasets.md explains the keys.",
        "[dataset]",
        f"name = {_q(name[:40].rstrip('_'))}",
        f"title = {_q(base)}",
        'licence = ""',
        'citation = ""',
    ]


def _recordings(found: Layout, columns: Columns, made: Proposal) -> list[str]:
    lines = ["[recordings]"]
    if found.files:
        lines.append(f"files = {_q(found.files)}")
        made.told.append(f"{found.recordings} recordings, a file each: {found.files}")
    else:
        lines += [f"file = {_q(found.file)}", f"id = {_q(found.id)}"]
        made.told.append(f"{found.recordings} recordings in {found.file}, divided by {found.id}")
    if found.table:
        lines += [f"table = {_q(found.table)}", f"number = {_q(found.number)}"]
        made.told.append(f"a table with a row a recording: {found.table}, by {found.number}")
    if columns.period is None:
        lines.append("# sample_period_seconds = 0.1   # from a row to the next")
        made.asked.append(
            "sample_period_seconds under [recordings]: no column is a clock, so how many seconds "
            "are there from a row to the next?"
        )
    else:
        lines.append(f"sample_period_seconds = {columns.period:g}   # as {columns.clock} says")
        made.told.append(f"a row every {columns.period:g} s, as {columns.clock} says")
    return [*lines, "phases_in_order = false"]


def _label(found: Layout, made: Proposal) -> _Label:
    """Return the column that most probably says whether the tool was worn."""
    of_runs = [name for name in found.runs.columns if name != found.number]
    of_rows = [name for name in found.rows.columns if name not in (RECORDING, found.id)]
    columns = [("recording", name, found.runs[name].dropna()) for name in of_runs]
    columns += [("row", name, found.rows[name].dropna()) for name in of_rows]
    by_name = [one for one in columns if _LABEL.search(one[1]) or _MEASURED.search(one[1])]
    by_words = [one for one in columns if _speaks_of_wear(one[2])]
    for of, name, values in (*by_name, *by_words):
        lines = _told_label(name, of, values, made)
        if lines:
            return _Label(name, of, lines)
    made.asked.append("[label]: no column seems to say whether the tool was worn; which one does?")
    where = "recording" if found.table else "row"
    return _Label("", where, [f'of = "{where}"', '# column = "..."'])


def _speaks_of_wear(values: pd.Series) -> bool:
    kinds = values.unique() if values.dtype.kind == "O" else ()
    return len(kinds) == 2 and any(_WORN_WORD.fullmatch(str(kind)) for kind in kinds)


def _told_label(name: str, of: str, values: pd.Series, made: Proposal) -> list[str]:
    kinds = sorted({f"{v:g}" if isinstance(v, float) else str(v) for v in values.unique()})
    lines = [f'of = "{of}"', f"column = {_q(name)}"]
    if len(kinds) == 2:
        worn = [kind for kind in kinds if _WORN.match(kind) and not _NOT_WORN.match(kind)]
        if len(worn) == 1:
            other = kinds[1 - kinds.index(worn[0])]
            made.told.append(f"{name} says whether a tool is worn: {worn[0]}, or not: {other}")
            return [*lines, f"negative = {_list([other])}", f"positive = {_list(worn)}"]
        made.asked.append(f"[label]: which of {kinds[0]} and {kinds[1]} in {name} means worn?")
        return [*lines, f"# negative = {_list(kinds[:1])}", f"# positive = {_list(kinds[1:])}"]
    if values.dtype.kind in "iuf" and _MEASURED.search(name) and len(kinds) > 2:
        low, high = values.min(), values.max()
        made.asked.append(
            f"worn_from under [label]: {name} seems to be a measured wear, {low:g} to {high:g}; "
            "from which value on is a tool worn, and what is the unit?"
        )
        return [*lines, "# worn_from = 300", '# unit = "um"']
    return []


def _settings(found: Layout, label: _Label, taken: set[str], made: Proposal) -> list[str]:
    lines = ["[settings]"]
    taken |= {name.lower() for name in schema.COLUMNS_OF_OURS}
    for name in found.runs.columns:
        values = found.runs[name]
        if name in (found.number, label.column) or values.dtype.kind not in "iuf":
            continue
        if 2 <= values.nunique() <= _FEW and values.notna().all():
            lines.append(f"{_safe(str(name), taken)} = {{ column = {_q(name)} }}")
            made.told.append(f"{name} of {found.table} seems to be set by a person")
    return lines


def _phases(found: Layout, columns: Columns, names: dict[str, str], made: Proposal) -> list[str]:
    if not columns.phases:
        return []
    kinds = [str(kind).strip() for kind in found.rows[columns.phases].dropna().unique()]
    spelt: dict[str, str] = {}  # a name by its letters; those of another case are spellings of it
    for kind in kinds:
        spelt.setdefault(kind.casefold(), kind)
    spellings = [kind for kind in kinds if spelt[kind.casefold()] != kind]
    made.told.append(
        f"{columns.phases} seems to say what the machine does: {', '.join(spelt.values())}"
    )
    lines = [
        "# In the order of a recording; [rows] judged names those that the models are asked of.",
        "[phases]",
        f"column = {_q(names[columns.phases])}",
        f"names = {_list(spelt.values())}",
        f"at_any_time = {_list(spelt.values())}",
    ]
    if spellings:
        lines += ["", "[phases.spellings]"]
        lines += [f"{_q(kind)} = {_q(spelt[kind.casefold()])}" for kind in spellings]
    return lines


def _signals(found: Layout, columns: Columns, names: dict[str, str], made: Proposal) -> list[str]:
    lines = [
        "# Of each may be said: unit, title, and low and high, what it can physically be.",
        "[signals]",
    ]
    if not columns.signals:
        made.asked.append("[signals]: no column of the recordings holds numbers that differ")
    for name in columns.signals:
        values = found.rows[name]
        lines.append(f"{names[name]} = {{}}   # {values.min():g} to {values.max():g}")
    made.told.append(f"{len(columns.signals)} columns of numbers that differ")
    return lines


def _columns(columns: Columns, names: dict[str, str], made: Proposal) -> list[str]:
    lines = list[str]()
    if columns.ignored:
        lines += ["[columns]", f"ignore = {_list(columns.ignored)}"]
        made.told += [f"{name} is left out: {why}" for name, why in columns.ignored.items()]
    renamed = {ours: theirs for theirs, ours in names.items() if ours != theirs}
    if renamed:
        lines += ["", "[columns.rename]"] if lines else ["[columns.rename]"]
        lines += [f"{ours} = {_q(theirs)}" for ours, theirs in renamed.items()]
    return lines


def _features(found: Layout, signals: list[str]) -> list[str]:
    usual = int(found.rows.groupby(RECORDING).size().median())
    window = max(_SHORTEST_WINDOW, min(_WINDOW, usual // _WINDOWS))
    return [
        "# What a model is given. Leave out what follows the programme or the set-up.",
        "[features]",
        f"levels = {_list(signals)}",
        f"window_rows = {window}",
        f"stride_rows = {max(1, window // 2)}",
        "",
        "[[features.windows]]",
        f"signals = {_list(signals)}",
        f"statistics = {_list((MEAN, STD))}",
        'why = "Level and spread of every signal; say here what physics speaks for."',
        "",
        "[features.sets.published]",
        'of = "rows"',
        'why = "Single rows."',
        "",
        "[features.sets.response]",
        'of = "windows"',
        'why = "Some rows together."',
    ]


def _names(theirs: Iterable[str]) -> dict[str, str]:
    """Return our name of each of their columns: what Feast, Prometheus and ONNX take."""
    taken = {name.lower() for name in schema.COLUMNS_OF_OURS}
    return {name: _safe(name, taken) for name in theirs}


def _safe(name: str, taken: set[str]) -> str:
    safe = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")
    safe = (safe if safe[:1].isalpha() else f"c_{safe}")[:55].rstrip("_")
    free = next(
        one
        for one in (safe, *(f"{safe}_{n}" for n in range(2, 10_000)))
        if one.lower() not in taken
    )
    taken.add(free.lower())
    return free
