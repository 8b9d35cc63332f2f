"""What can go wrong between a client and the service."""

from __future__ import annotations


class ServiceError(Exception):
    """Any of it.

    Attributes:
        sentence: what the service said.
        status: of its response; 0 if there was none.
        retry_after: seconds after which it wants to be asked again; None if it does not say.
    """

    def __init__(self, sentence: str, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status
        self.retry_after = retry_after


class RequestRefusedError(ServiceError):
    """The request has to be mended; the sentence says how."""


class ServiceDownError(ServiceError):
    """The service, or a part of it, does not answer now; the same request may pass later."""


class ServiceFailedError(ServiceError):
    """The service failed by its own fault."""
