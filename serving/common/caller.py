"""What a caller says of a request beside its body: HTTP headers, or the metadata of gRPC."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kserve import InferRequest

from serving.common.endpoints import IDEMPOTENCY_KEY
from serving.common.refusal import Refusal

REQUEST_ID = "x-request-id"
RECORDING_ID = "x-recording-id"
MACHINE_ID = "x-machine-id"
RECEIPT_ID = "x-receipt-id"  # of answers: the server's own id
VALID_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
VALID_KEY = re.compile(r"[!-~]{1,128}")


@dataclass(frozen=True)
class Caller:
    """What the caller calls the request; None for what is not said.

    Attributes:
        request_id: the caller's own id; several requests may carry the same.
        recording: which recording the rows are of.
        machine: on which machine that was recorded.
        key: whoever repeats it gets the answer that the first request got.
    """

    request_id: str | None = None
    recording: str | None = None
    key: str | None = None
    machine: str | None = None

    @classmethod
    def of(cls, headers: Mapping[str, str] | None, payload: Any = None) -> Caller:
        """Return what the headers say; without a request id there, the "id" of a V2 body.

        Raises:
            Refusal: a header is not of its form.
        """
        request_id = _given(headers, REQUEST_ID, "request_id")
        if request_id is None and isinstance(payload, InferRequest):
            # Its form is free in the protocol, which only wants it back in the answer.
            request_id = payload.id if VALID_ID.fullmatch(payload.id or "") else None
        key = (headers or {}).get(IDEMPOTENCY_KEY)
        if key is not None and not VALID_KEY.fullmatch(key):
            raise Refusal(
                "idempotency_key",
                "The header Idempotency-Key has to be 1 to 128 visible ASCII characters.",
            )
        recording = _given(headers, RECORDING_ID, "recording_id")
        return cls(request_id, recording, key, _given(headers, MACHINE_ID, "machine_id"))

    def answered(self, receipt_id: str) -> dict[str, str]:
        """Return the headers of the answer."""
        own = {REQUEST_ID: self.request_id} if self.request_id is not None else {}
        return {RECEIPT_ID: receipt_id, **own}


def _given(headers: Mapping[str, str] | None, name: str, kind: str) -> str | None:
    given = (headers or {}).get(name)
    if given is not None and not VALID_ID.fullmatch(given):
        raise Refusal(
            kind,
            f"The header {name} has to be 1 to 64 letters, digits, dots, dashes or underscores.",
        )
    return given
