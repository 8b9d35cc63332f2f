"""A typed client of the service."""

from toolwear.client.answers import Answer, Explanation, Metadata, Prediction, Receipt
from toolwear.client.client import Client
from toolwear.client.errors import (
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
