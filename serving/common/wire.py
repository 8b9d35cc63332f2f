"""Bodies of the V1 and the V2 (Open Inference) protocol, read strictly.

KServe's own decoders turn many faulty bodies into 500s or into values that nobody sent; these
take exactly what the protocols describe and say in one sentence what else it was.
"""

from __future__ import annotations

import math
import struct
import uuid
from typing import Any

import numpy as np
import orjson
from kserve import InferInput, InferOutput, InferRequest, InferResponse
from kserve.protocol.infer_type import RequestedOutput

from serving.common.body import json_object
from serving.common.refusal import Refusal

_LENGTH = struct.Struct("<I")
_NUMPY_TYPES = {"FP64": np.dtype("<f8")}


def v2_request(
    body: bytes, json_length: str | None, model: str, version: str | None = None
) -> InferRequest:
    """Return the V2 request of a body, JSON or with binary tensors behind the JSON.

    Args:
        body: all of it.
        json_length: the header inference-header-content-length.
        model: name of the model in the URL.
        version: of the model in the URL, if it names one.
    """
    length = _json_length(json_length, len(body))
    value = json_object(body[:length] if length != len(body) else body)
    parameters = _parameters(value, "binary_data_output")
    if type(value.get("id", "")) is not str:
        raise Refusal("request", '"id" has to be a string.')
    if type(value.get("inputs")) is not list:
        raise Refusal("request", 'The body needs "inputs": a list of tensors.')
    reader = _BinaryPart(body, length)
    inputs = [_input(tensor, reader) for tensor in value["inputs"]]
    reader.check_end()
    return InferRequest(
        model_name=model,
        infer_inputs=inputs,
        request_id=value.get("id"),
        parameters=parameters,
        request_outputs=_requested(value.get("outputs")),
        model_version=version,
    )


def _json_length(header: str | None, size: int) -> int:
    if header is None:
        return size
    if not header.isascii() or not header.isdigit() or int(header) > size:
        raise Refusal(
            "binary",
            "The header inference-header-content-length has to be the length of the JSON part "
            "in bytes.",
        )
    return int(header)


def _input(tensor: Any, binary: _BinaryPart) -> InferInput:
    if type(tensor) is not dict or type(tensor.get("name")) is not str:
        raise Refusal("request", 'Each input has to be an object with a "name".')
    shape, datatype = tensor.get("shape"), tensor.get("datatype")
    if type(shape) is not list or not all(type(size) is int for size in shape):
        raise Refusal("shape", '"shape" has to be a list of whole numbers.')
    if type(datatype) is not str:
        raise Refusal("datatype", '"datatype" has to be a string such as "FP64".')
    size = _parameters(tensor).get("binary_data_size")
    data = tensor.get("data")
    if size is not None and data is None:
        data = binary.tensor(size, datatype, shape)
    elif type(data) is not list:
        raise Refusal("request", 'Each input needs "data" (a list) or "binary_data_size".')
    elif size is not None and (type(size) is not int or size < 0):
        raise Refusal("request", '"binary_data_size" has to be a whole number.')
    return InferInput(tensor["name"], shape, datatype, data)


def _requested(outputs: Any) -> list[RequestedOutput] | None:
    if outputs is None or outputs == []:
        return None
    if type(outputs) is not list or not all(
        type(output) is dict and type(output.get("name")) is str for output in outputs
    ):
        raise Refusal("request", 'Each of "outputs" has to be an object with a "name".')
    return [
        RequestedOutput(output["name"], _parameters(output, "binary_data")) for output in outputs
    ]


def _parameters(owner: dict[str, Any], flag: str | None = None) -> dict[str, Any]:
    """Return the "parameters" of a request, an input or an output; `flag` is a boolean in them."""
    parameters = owner.get("parameters")
    if parameters is None:
        return {}
    if type(parameters) is not dict or (flag and type(parameters.get(flag, False)) is not bool):
        also = f', "{flag}" a boolean' if flag else ""
        raise Refusal("request", f'"parameters" has to be an object{also}.')
    return parameters


class _BinaryPart:
    """The tensors' bytes behind the JSON, taken in the order of the inputs."""

    def __init__(self, body: bytes, start: int) -> None:
        self._body = body
        self._start = start

    def tensor(self, size: Any, datatype: str, shape: list[int]) -> np.ndarray:
        """Return the next tensor."""
        if type(size) is not int or size < 0 or self._start + size > len(self._body):
            raise Refusal("binary", "The binary part is shorter than binary_data_size says.")
        dtype = _NUMPY_TYPES.get(datatype)
        if datatype == "BYTES":
            return self._texts(size, shape)
        if dtype is None:
            raise Refusal("datatype", f"Binary data have to be FP64 or BYTES, not {datatype[:20]}.")
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size:
            raise Refusal("shape", f"The shape {shape[:8]} does not take {size} bytes of FP64.")
        values = np.frombuffer(self._body, dtype, math.prod(shape), self._start)
        self._start += size
        return values.reshape(shape)

    def _texts(self, size: int, shape: list[int]) -> np.ndarray:
        """Return the next tensor of texts, each of which stands behind its length."""
        end, texts = self._start + size, []
        while self._start + _LENGTH.size <= end:
            (length,) = _LENGTH.unpack_from(self._body, self._start)
            self._start += _LENGTH.size + length
            texts.append(self._body[self._start - length : min(self._start, end)])
        if self._start != end or min(shape, default=0) < 0 or math.prod(shape) != len(texts):
            raise Refusal("shape", f"The shape {shape[:8]} does not take these BYTES.")
        return np.array([*texts, None], dtype=object)[:-1].reshape(shape)

    def check_end(self) -> None:
        """Refuse bytes that belong to no tensor."""
        if self._start != len(self._body):
            raise Refusal("binary", "There are more bytes behind the JSON than the inputs name.")


def v2_body(request: InferRequest, response: InferResponse) -> tuple[bytes, str | None]:
    """Return a V2 response's body and, if it has a binary part, the length of its JSON.

    Plain JSON is written directly: KServe's encoder copies every tensor four times.

    Args:
        request: says which outputs are wanted, and in which form.
        response: its outputs hold arrays, strings as arrays of objects.
    """
    wanted = request.request_outputs or response.outputs
    known = {output.name: output for output in response.outputs}
    for output in wanted:
        if output.name not in known:
            raise Refusal("name", f'There is no output "{output.name[:40]}".')
    if request.use_binary_outputs or any(o.binary_data for o in request.request_outputs or ()):
        body, length = response.to_rest()
        return (body, str(length)) if length is not None else (orjson.dumps(body), None)
    value = {
        "id": response.id,
        "model_name": response.model_name,
        "model_version": response.model_version,
        "parameters": response.parameters,
        "outputs": [_json_tensor(known[output.name]) for output in wanted],
    }
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), None


def _json_tensor(output: InferOutput) -> dict[str, Any]:
    data = output.data.tolist() if output.datatype == "BYTES" else output.data.ravel()
    return {
        "name": output.name,
        "datatype": output.datatype,
        "shape": output.shape,
        "data": data,
    }


def new_id() -> str:
    """Return an id for a request that has none."""
    return str(uuid.uuid4())
