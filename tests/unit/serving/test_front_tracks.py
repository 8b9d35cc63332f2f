"""What of a client reaches the servers through the front."""

from __future__ import annotations

from serving.front.tracks import passed_on


def test_what_a_caller_calls_its_rows_passes_and_what_is_for_nobody_does_not() -> None:
    named = {"x-request-id": "a", "x-recording-id": "part-7", "x-machine-id": "mill-3"}
    assert passed_on(named | {"cookie": "session", "x-forwarded-for": "10.0.0.1"}) == named
