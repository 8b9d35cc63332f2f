"""What a client says of a request beside its body: HTTP headers, or the metadata of gRPC."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping

from serving.common.refusal import Refusal

REQUEST_ID = "x-request-id"
RECORDING_ID = "x-recording-id"
VALID_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id(headers: Mapping[str, str] | None) -> str:
    """Return the id that the client gave, else a new one.

    Raises:
        Refusal: the client's is not one.
    """
    return _given(headers, REQUEST_ID, "request_id") or str(uuid.uuid4())


def recording_id(headers: Mapping[str, str] | None) -> str | None:
    """Return which recording the rows are of, None if the client does not say.

    Raises:
        Refusal: what it says is no id.
    """
    return _given(headers, RECORDING_ID, "recording_id")


def _given(headers: Mapping[str, str] | None, name: str, kind: str) -> str | None:
    given = (headers or {}).get(name)
    if given is not None and not VALID_ID.fullmatch(given):
        raise Refusal(
            kind,
            f"The header {name} has to be 1 to 64 letters, digits, dots, dashes or underscores.",
        )
    return given
