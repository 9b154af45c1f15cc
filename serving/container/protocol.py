"""HTTP with bounds on what a connection may cost, whoever answers it: uvicorn's parser has none of its own.

They are on the bytes of header and body, on the time until a request is complete, and on the time that an answer may
wait to be taken. A request beyond them is refused as soon as that is known, and its connection is closed.
"""

import asyncio
import os

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MOST_BODY_BYTES = int(os.environ.get("MOST_BODY_BYTES") or 100_000_000)  # what MLflow's container allows
MOST_REQUEST_SECONDS = int(os.environ.get("MOST_REQUEST_SECONDS") or 60)  # for a request to come, and an answer to go
MOST_HEADER_BYTES = 65_536
# A connection that is closed while its client is still sending is reset, and the client may never see the reply. What
# it sends within this time is read and thrown away.
LINGER_SECONDS = 2.0
TOO_LONG_A_HEADER = 431, f"expected a header of at most {MOST_HEADER_BYTES} bytes"
TOO_LONG_A_BODY = 413, f"expected a body of at most {MOST_BODY_BYTES} bytes"


def refusal(message: str, code: str = "BAD_REQUEST") -> bytes:
    """The content of a refusal, in the form that MLflow's scoring server gives it."""
    return orjson.dumps({"error_code": code, "message": message})


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol for one connection, with the bounds. What comes whole in one read costs next to nothing."""

    _received = 0  # bytes of the request that is not complete yet, its header included
    _refused = False
    _arrival: asyncio.TimerHandle | None = None  # runs while a request is awaited or is not complete
    _departure: asyncio.TimerHandle | None = None  # runs while an answer waits for its client to take it

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_a_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        if self._departure is not None:
            self._departure.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._received += len(data)
        super().data_received(data)
        if self._received and not self._refused:  # the request is not complete
            self._look_at_a_part()

    def on_headers_complete(self) -> None:
        if self._received > MOST_HEADER_BYTES:  # maybe with much of a body
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > MOST_HEADER_BYTES:
                self._refuse(*TOO_LONG_A_HEADER)
                raise OverflowError  # ends the parser's work
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._received = 0
        if self._arrival is not None:
            self._stop_waiting()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        if not self._refused:  # else the parser was ended by us
            self._refuse(400, "expected a request of HTTP/1.1")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._departure = self.loop.call_later(MOST_REQUEST_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._departure is not None:
            self._departure.cancel()

    def _expect_a_request(self) -> None:
        self._arrival = self.loop.call_later(MOST_REQUEST_SECONDS, self._end_the_wait)

    def _stop_waiting(self) -> None:
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None

    def _end_the_wait(self) -> None:
        if self._received:
            self._refuse(408, f"expected the whole request within {MOST_REQUEST_SECONDS} s")
        else:
            self.transport.close()

    def _look_at_a_part(self) -> None:
        """For a request that is not complete. Its length is looked at before the application sees it."""
        if self._arrival is None:
            self._expect_a_request()
        if not self._answering:
            if self._received > MOST_HEADER_BYTES:
                self._refuse(*TOO_LONG_A_HEADER)
            return
        length = int(dict(self.headers).get(b"content-length", 0))  # the parser lets digits through only
        if length > MOST_BODY_BYTES or self._received > MOST_BODY_BYTES + MOST_HEADER_BYTES:
            self._refuse(*TOO_LONG_A_BODY)

    @property
    def _answering(self) -> bool:
        """Whether the application is at work on a request whose body is still coming."""
        return self.cycle is not None and self.cycle.scope is self.scope and self.cycle.more_body

    def _refuse(self, status: int, message: str) -> None:
        """Closes the connection, with a reply unless the client would take it for the answer to something else."""
        self._refused = True
        self._stop_waiting()
        self._unset_keepalive_if_required()
        if self._answering:
            awaited = not self.cycle.response_started and not self.pipeline
            self.cycle.disconnected = True  # the application lets go of what has come of the body
            self.cycle.message_event.set()
        else:
            awaited = self.cycle is None or self.cycle.response_complete
        if awaited:
            self._reply_and_close(status, refusal(message))
        else:
            self.transport.abort()

    def _reply_and_close(self, status: int, content: bytes) -> None:
        head = f"content-type: application/json\r\ncontent-length: {len(content)}\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + head.encode() + content)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._arrival = self.loop.call_later(LINGER_SECONDS, self.transport.abort)
