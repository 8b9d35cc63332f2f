"""Telemetry by gRPC and KServe's V2 protocol: the one module that needs grpcio and kserve.

What is answered becomes the response that HTTP would have brought, so all else is as with HTTP.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import grpc
import httpx
from kserve import InferResponse
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as service

from toolwear.client.cutting import Row
from toolwear.client.errors import RequestRefusedError
from toolwear.client.sending import read
from toolwear.common.loopback import by_proxy

_TLS = "grpcs://"
_OPTIONS = (
    # gRPC waits up to two minutes between attempts to connect; a repetition shall find a service
    # that is back.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
_HTTP_STATUS = "http-status"  # behind a refusal of the service
# Of refusals by others on the way.
_STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
}


class Calls:
    """Calls of one service.

    Args:
        address: host and port; behind grpcs:// with TLS.
        model: name of the model.
        seconds: how long an answer may take.
        headers: metadata of every call.
        awaited: whether calls are made by `infer_later`, all in one event loop.
    """

    def __init__(
        self, address: str, model: str, seconds: float, headers: Mapping[str, str], awaited: bool
    ) -> None:
        self._address = address.removeprefix(_TLS)
        self._tls = address.startswith(_TLS)
        self._model = model
        self._seconds = seconds
        self._headers = headers
        self._library = grpc.aio if awaited else grpc

    @cached_property
    def channel(self) -> Any:
        """The connection, which is made when it is first needed."""
        proxy = int(by_proxy(f"grpc://{self._address}"))
        options = (*_OPTIONS, ("grpc.enable_http_proxy", proxy))
        if self._tls:
            credentials = grpc.ssl_channel_credentials()
            return self._library.secure_channel(self._address, credentials, options)
        return self._library.insecure_channel(self._address, options)

    @cached_property
    def _infer(self) -> Any:
        return service.GRPCInferenceServiceStub(self.channel).ModelInfer

    def infer(self, rows: Sequence[Row], headers: Mapping[str, str]) -> httpx.Response:
        """Return the answer for telemetry.

        Args:
            rows: all with the same columns, each of numbers or of texts.
            headers: metadata of this call.

        Raises:
            RequestRefusedError: tensors have no form for these rows.
            httpx.TransportError: nobody answers.
            UnicodeError: a header is not ASCII.
        """
        message, metadata = self._asked(rows, headers)
        try:
            found = self._infer(message, timeout=self._seconds, metadata=metadata)
        except grpc.RpcError as error:
            return _refused(error)
        return _response(found)

    async def infer_later(self, rows: Sequence[Row], headers: Mapping[str, str]) -> httpx.Response:
        """Return the answer for telemetry; see `infer`."""
        message, metadata = self._asked(rows, headers)
        try:
            found = await self._infer(message, timeout=self._seconds, metadata=metadata)
        except grpc.RpcError as error:
            return _refused(error)
        return _response(found)

    def _asked(
        self, rows: Sequence[Row], headers: Mapping[str, str]
    ) -> tuple[Any, tuple[tuple[str, str], ...]]:
        """Return the message and its metadata."""
        message = pb.ModelInferRequest(model_name=self._model)
        names = rows[0].keys() if rows else ()
        for place, row in enumerate(rows):
            if row.keys() != names:
                raise RequestRefusedError(
                    f"Row {place} of this request has other columns than row 0; by gRPC all rows "
                    "have the same."
                )
        for name in names:
            datatype, content = _tensor(name, [row[name] for row in rows])
            message.inputs.add(name=name, datatype=datatype, shape=[len(rows)])
            message.raw_input_contents.append(content)
        given = {**self._headers, **headers}
        for value in given.values():
            value.encode("ascii")
        return message, tuple((name.lower(), value) for name, value in given.items())


def _tensor(name: str, values: list[Any]) -> tuple[str, bytes]:
    """Return the type of a column's tensor, and its content."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        try:
            return "FP64", struct.pack(f"<{len(values)}d", *values)
        except (OverflowError, struct.error):
            raise RequestRefusedError(f'"{name}" has a number too large for FP64.') from None
    if all(isinstance(value, str) for value in values):
        texts = [value.encode() for value in values]
        return "BYTES", b"".join(struct.pack("<I", len(text)) + text for text in texts)
    raise RequestRefusedError(f'"{name}" has to be numbers, or texts, in every row.')


def _response(message: Any) -> httpx.Response:
    """Return the response by HTTP's V1 protocol that says the same."""
    return httpx.Response(200, json=read(lambda: _body(message)))


def _body(message: Any) -> dict[str, Any]:
    outputs = InferResponse.from_grpc(message).outputs
    columns = {
        output.name: [
            value.decode() if isinstance(value, bytes) else value
            for value in output.as_numpy().tolist()
        ]
        for output in outputs
    }
    said = {name: value.string_param for name, value in message.parameters.items()}
    return {
        "predictions": [
            {
                "verdict": verdict,
                "label": label or None,
                "probability": probability if probability == probability else None,  # NaN: none
                "reasons": [reason] if reason else [],
            }
            for verdict, label, probability, reason in zip(
                *(columns[name] for name in ("verdict", "label", "probability", "reasons")),
                strict=True,
            )
        ],
        "receipt": {
            "id": said.pop("receipt_id"),
            # A tensor has no form for what is not known; of telemetry that is the age.
            "request_id": None,
            "recording": None,
            **said,
            "features": [
                {"timestamp": timestamp or None, "age_seconds": None, "stale": stale}
                for timestamp, stale in zip(
                    columns["feature_timestamp"], columns["stale"], strict=True
                )
            ],
        },
    }


def _refused(error: Any) -> httpx.Response:
    """Return the response by HTTP that says the same.

    Raises:
        httpx.TransportError: nobody answers, or not in time.
    """
    code, sentence = error.code(), error.details() or error.code().name
    behind = {str(name): value for name, value in error.trailing_metadata() or ()}
    if _HTTP_STATUS not in behind and code == grpc.StatusCode.UNAVAILABLE:
        raise httpx.ConnectError(sentence) from error
    if _HTTP_STATUS not in behind and code == grpc.StatusCode.DEADLINE_EXCEEDED:
        raise httpx.ReadTimeout(sentence) from error
    status = int(behind.get(_HTTP_STATUS, _STATUSES.get(code, 500)))
    kept = {name: value for name, value in behind.items() if name == "retry-after"}
    return httpx.Response(status, headers=kept, json={"error": sentence})
