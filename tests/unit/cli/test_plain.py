"""What the terminal shows is text as it is, also beside the sign that work goes on."""

from __future__ import annotations

import io

from toolwear.cli.plain import plain_console


def test_a_name_in_brackets_is_shown_while_it_is_worked_on() -> None:
    stream = io.StringIO()
    console = plain_console(file=stream, force_terminal=True, width=80)
    with console.status("[night]/[/shift]\x1b]0;a title\x07.csv"):
        console.print("[red]reading[/]")
    shown = stream.getvalue()
    assert "[night]/[/shift]" in shown
    assert "[red]reading[/]" in shown
    assert "\x1b]0;" not in shown
