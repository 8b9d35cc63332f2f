"""A request that is refused: a status, a word for the metrics and one sentence for the caller."""

from __future__ import annotations


class Refusal(ValueError):  # noqa: N818 - the name says what is done, not what went wrong
    """The caller's fault.

    Args:
        kind: fixed word, the label of the metric.
        sentence: what is wrong and what to mend.
        status: HTTP status; that of gRPC follows from the kind.
        retry_after: seconds after which asking again makes sense; HTTP's header of that name.
    """

    def __init__(
        self, kind: str, sentence: str, status: int = 400, retry_after: int | None = None
    ) -> None:
        super().__init__(sentence)
        self.reason = sentence
        self.kind = kind
        self.status = status
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer."""
        own = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        return own | ({"www-authenticate": "Bearer"} if self.status == 401 else {})


def other_version(wanted: str, served: str) -> Refusal:
    """Return how to refuse what asks for a version that is not in service."""
    return Refusal(
        "other_version", f"Version {wanted[:40]} is not served here; version {served} is.", 404
    )


# The kinds, so that every one is on /metrics before it first happens.
KINDS = (
    "content_type",
    "too_large",
    "too_slow",
    "json",
    "request",
    "name",
    "datatype",
    "shape",
    "not_a_number",
    "not_finite",
    "too_many_rows",
    "binary",
    "undefined",
    "mixed",
    "several_recordings",
    "phase",
    "run_id",
    "timestamp",
    "unknown_run",
    "stale",
    "no_features",
    "feature_set",
    "request_id",
    "recording_id",
    "machine_id",
    "idempotency_key",
    "other_version",
    "unknown_receipt",
    "method",
    "other_model",
    "no_store",
    "busy",
    "token",
    "slow",
    "recording",
)
