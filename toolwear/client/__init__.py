"""Typed clients of the service; they need no more than httpx and orjson."""

from toolwear.client.answers import Answer, Explanation, Metadata, Part, Prediction, Receipt
from toolwear.client.client import AsyncClient, Client
from toolwear.client.errors import (
    RequestRefusedError,
    ServiceDownError,
    ServiceError,
    ServiceFailedError,
)

__all__ = [
    "Answer",
    "AsyncClient",
    "Client",
    "Explanation",
    "Metadata",
    "Part",
    "Prediction",
    "Receipt",
    "RequestRefusedError",
    "ServiceDownError",
    "ServiceError",
    "ServiceFailedError",
]
