"""The one exception for what a user can mend, and the exit codes that go with it."""

from __future__ import annotations

EXIT_FAILURE = 1  # ours: a defect or a part that is down
EXIT_USAGE = 2  # theirs: input, data or configuration that can be mended


class ToolwearError(Exception):
    """A fault in what was given to the system, told in one sentence that says what to mend.

    Raise it for bad data, configuration or arguments only. Whoever catches it prints the
    sentence without a traceback and exits with `EXIT_USAGE`.
    """
