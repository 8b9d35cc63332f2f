"""What every step of the graph does around its work: time it, tell its progress, record its end.

Kept to the standard library and Python 3.9 so that the AutoML environment can import it.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, NoReturn, TypeVar

from toolwear.common import jsonfile
from toolwear.common.disk import no_room
from toolwear.common.errors import EXIT_USAGE, ToolwearError
from toolwear.common.states import State

T = TypeVar("T")

# A folder in which a local run collects what its steps did; unset on a cluster, where Kubeflow
# Pipelines keeps the states and the logs.
EVENTS_FOLDER = "TOOLWEAR_EVENTS"
PROGRESS_FILE = "progress.log"


def report(text: str) -> None:
    """Tell the progress of a step that takes longer than two seconds, one line a call."""
    print(f"  {text}", flush=True)
    folder = os.environ.get(EVENTS_FOLDER)
    if folder:
        with (Path(folder) / PROGRESS_FILE).open("a", encoding="utf-8") as stream:
            stream.write(text.replace("\n", " ") + "\n")


def run_step(name: str, work: Callable[..., T], **arguments: Any) -> T:
    """Call `work(**arguments)` as the step `name` and record its state, time and failure.

    A `ToolwearError` becomes its sentence on stderr and the exit code 2, as does a full disk; any
    other exception is a defect of ours and goes on with its traceback.
    """
    started = time.time()
    _record(name, state=State.RUNNING, started=started)
    try:
        result = work(**arguments)
    except KeyboardInterrupt:  # its run says why
        raise
    except BaseException as error:
        sentence = str(error) if isinstance(error, ToolwearError) else no_room(error)
        if sentence:
            _end(name, sentence, started)
        reason = f"{type(error).__name__}: {error}"
        trace = traceback.format_exc()
        _record(name, state=State.FAILED, started=started, reason=reason, traceback=trace)
        raise
    _record(name, state=State.SUCCEEDED, started=started)
    return result


def _end(name: str, sentence: str, started: float) -> NoReturn:
    print(f"{name}: {sentence}", file=sys.stderr, flush=True)
    with suppress(ToolwearError):  # on a full disk that is all that can be told
        _record(name, state=State.FAILED, started=started, reason=sentence, user_error=True)
    sys.exit(EXIT_USAGE)


def _record(name: str, **event: Any) -> None:
    folder = os.environ.get(EVENTS_FOLDER)
    if folder:
        event["seconds"] = round(time.time() - event["started"], 3)
        jsonfile.write(Path(folder) / f"{name}.json", {"step": name, **event})
