"""One connection: how long its requests' heads may be, and how long a client may take to send.

uvicorn bounds neither. Its parser, llhttp, joins the parts of a header as they arrive, so that one
header without an end costs the square of its length, on the event loop that everybody shares.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from toolwear.common.request_limits import (
    BODY_PAUSE_BYTES,
    BODY_PAUSE_SECONDS,
    CONNECTIONS,
    HEAD_BYTES,
    HEAD_SECONDS,
    HEADERS,
    PIPELINED,
    URL_BYTES,
)

# Connections that owe the head of a request, those that wait longest first.
_waiting: dict[BoundedProtocol, None] = {}


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits; a client that exceeds one is told and disconnected."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._head_bytes = 0  # of the head that is arriving
        self._in_head = True  # what comes next belongs to a head
        self._begun = False  # some of it is there
        self._completed = False  # a request was, in the data being parsed
        self._head_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._body_bytes = 0  # since the timer was set
        self._content_bytes = 0  # of a body, in the data being parsed
        # That may come around a body's content: lengths of chunks, and what follows the last one.
        self._framing_left = HEAD_BYTES
        self._refusal = (400, "This is not a valid HTTP request.")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room if need be, and expect the first request soon."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS and _waiting:
            next(iter(_waiting)).hang_up()
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._end_timers()
        _waiting.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, the head of a request no further than its limit."""
        left = HEAD_BYTES - self._head_bytes
        if self._in_head and len(data) > left:
            self._parse(data[:left])
            if self._head_bytes >= HEAD_BYTES and not self.transport.is_closing():
                self._refuse(431, f"The headers are longer than {HEAD_BYTES} bytes.")
            data = data[left:]
        if not self.transport.is_closing():
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        self._completed = False
        self._content_bytes = 0
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._begun:
            # After a request, how much of the data is the next one's head is not known.
            self._head_bytes += 0 if self._completed else len(data)
            if self._head_timer is None:
                self._expect_head()
        elif not self._in_head:
            self._body_bytes += len(data)
            if self._body_timer is None:
                self._expect_body()
            self._count_framing(len(data))

    def _count_framing(self, size: int) -> None:
        """Refuse a body that is hardly content; what is content makes up for what is not."""
        left = self._framing_left - size + 2 * self._content_bytes
        self._framing_left = min(HEAD_BYTES, left)
        if left < 0:
            self._refuse(400, f"A body has more than {HEAD_BYTES} bytes that are not its content.")

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        self._begun = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL."""
        super().on_url(url)
        if len(self.url) > URL_BYTES:
            self._refusal = (414, f"The URL is longer than {URL_BYTES} bytes.")
            raise ValueError  # ends the parsing; uvicorn then calls `send_400_response`

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._content_bytes += len(body)
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """Hand the request to the application."""
        if len(self.headers) > HEADERS:
            self._refusal = (431, f"The request has more than {HEADERS} headers.")
            raise ValueError
        if len(self.pipeline) >= PIPELINED:
            raise ValueError  # hangs up
        self._framing_left = HEAD_BYTES
        self._in_head = self._begun = False
        self._head_bytes = 0
        self._end_timers()
        _waiting.pop(self, None)
        super().on_headers_complete()
        self.headers = []  # those behind a body come too late for who has read the others

    def on_message_complete(self) -> None:
        """Expect another head."""
        self._in_head = self._completed = True
        self._end_timers()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Note that the connection is idle."""
        super().on_response_complete()
        if self._in_head and not self.transport.is_closing():
            _waiting[self] = None

    def send_400_response(self, _msg: str) -> None:
        """Refuse what can't be parsed."""
        self._refuse(*self._refusal)

    def hang_up(self) -> None:
        """Close the connection, which owes a request."""
        _waiting.pop(self, None)
        self.transport.close()

    def _expect_head(self) -> None:
        _waiting[self] = None
        self._head_timer = self.loop.call_later(
            HEAD_SECONDS, self._refuse, 408, f"No request arrived within {HEAD_SECONDS:g} s."
        )

    def _expect_body(self) -> None:
        self._body_bytes = 0
        self._body_timer = self.loop.call_later(BODY_PAUSE_SECONDS, self._check_body)

    def _check_body(self) -> None:
        # Nothing arrives while the application is the one that lags.
        if self.flow.read_paused or self._body_bytes >= BODY_PAUSE_BYTES:
            self._expect_body()
            return
        self._refuse(
            408, f"Less than {BODY_PAUSE_BYTES} bytes arrived within {BODY_PAUSE_SECONDS:g} s."
        )

    def _end_timers(self) -> None:
        for timer in (self._head_timer, self._body_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._body_timer = None

    def _refuse(self, status: int, sentence: str) -> None:
        """Answer in place of the application, unless its own answer is on its way, and hang up."""
        self._end_timers()
        cycle = self.cycle
        under_way = cycle is not None and not cycle.response_complete
        # Where requests wait, the answer on its way is that to an earlier one.
        if not (under_way and (cycle.response_started or self.pipeline)):
            content = orjson.dumps({"error": sentence})
            self.transport.write(
                STATUS_LINE[status] + b"content-type: application/json\r\ncontent-length: "
                b"%d\r\nconnection: close\r\n\r\n%b" % (len(content), content)
            )
        if under_way:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()
