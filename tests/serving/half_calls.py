"""Calls of gRPC that begin and do not end, frame by frame (RFC 9113, RFC 7541)."""

from __future__ import annotations

import contextlib
import socket
import struct
import time

INFER = "/inference.GRPCInferenceService/ModelInfer"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _WINDOW_UPDATE = 0, 1, 3, 4, 8
_END_HEADERS, _ACK = 4, 1
_INITIAL_WINDOW = 4  # setting
_FRAME_BYTES = 16384


class HalfCalls:
    """One connection with many calls, of whose messages all but the last byte is sent.

    Args:
        port: of gRPC on the loopback.
        path: of the method.
        calls: how many.
        announced: bytes of each message; 0 to send headers alone.
    """

    def __init__(self, port: int, path: str, calls: int, announced: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._pending = b""
        self._windows = {0: 65535}
        self._initial = 65535
        self._left: dict[int, bytes] = {}
        self._socket.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, b""))
        head = _frame_headers(path)
        for number in range(calls):
            stream = 2 * number + 1
            self._windows[stream] = self._initial
            message = struct.pack(">BI", 0, announced) + bytes(max(0, announced - 1))
            self._left[stream] = message if announced else b""
            self._socket.sendall(_frame(_HEADERS, _END_HEADERS, stream, head))

    def send(self, seconds: float) -> int:
        """Send as much as the server takes within some time; return how many bytes it took."""
        sent, until = 0, time.monotonic() + seconds
        self._socket.settimeout(0.05)
        while time.monotonic() < until:
            for stream in list(self._left):
                room = min(self._windows[0], self._windows[stream], _FRAME_BYTES)
                part, self._left[stream] = self._left[stream][:room], self._left[stream][room:]
                if part:
                    self._socket.sendall(_frame(_DATA, 0, stream, part))
                    self._windows[0] -= len(part)
                    self._windows[stream] -= len(part)
                    sent += len(part)
            with contextlib.suppress(TimeoutError):
                self._take(self._socket.recv(1 << 16))
        return sent

    def open(self) -> int:
        """Return how many calls the server has not ended."""
        return len(self._left)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _take(self, received: bytes) -> None:
        if not received:
            raise ConnectionError("the server has hung up")
        self._pending += received
        while len(self._pending) >= 9:
            size, kind, flags = int.from_bytes(self._pending[:3]), *self._pending[3:5]
            if len(self._pending) < 9 + size:
                return
            stream = int.from_bytes(self._pending[5:9])
            body, self._pending = self._pending[9 : 9 + size], self._pending[9 + size :]
            if kind == _WINDOW_UPDATE and stream in self._windows:
                self._windows[stream] += int.from_bytes(body)
            elif kind == _SETTINGS and not flags & _ACK:
                self._set(body)
                self._socket.sendall(_frame(_SETTINGS, _ACK, 0, b""))
            elif kind in (_HEADERS, _RESET):  # answered
                self._left.pop(stream, None)

    def _set(self, settings: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", settings):
            if name == _INITIAL_WINDOW:
                for stream in self._left:
                    self._windows[stream] += value - self._initial
                self._initial = value


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + body


def _frame_headers(path: str) -> bytes:
    """Return the header block of a call: literals that are not indexed."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "127.0.0.1",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    return b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in headers.items()
    )
