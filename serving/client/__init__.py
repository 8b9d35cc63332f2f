"""A typed client of the service."""

from serving.client.answers import Answer, Explanation, Metadata, Prediction, Receipt
from serving.client.client import Client
from serving.client.errors import (
    RequestRefusedError,
    ServiceDownError,
    ServiceError,
    ServiceFailedError,
)

__all__ = [
    "Answer",
    "Client",
    "Explanation",
    "Metadata",
    "Prediction",
    "Receipt",
    "RequestRefusedError",
    "ServiceDownError",
    "ServiceError",
    "ServiceFailedError",
]
