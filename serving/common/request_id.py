"""The id of a request, by which its answer is found again."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping

from serving.common.refusal import Refusal

REQUEST_ID = "x-request-id"
VALID_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id(headers: Mapping[str, str] | None) -> str:
    """Return the id that the client gave, else a new one.

    Raises:
        Refusal: the client's is not one.
    """
    given = (headers or {}).get(REQUEST_ID)
    if given is None:
        return str(uuid.uuid4())
    if not VALID_ID.fullmatch(given):
        raise Refusal(
            "request_id",
            f"The header {REQUEST_ID} has to be 1 to 64 letters, digits, dots, dashes or "
            "underscores.",
        )
    return given
