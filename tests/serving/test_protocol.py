"""The bounds on what a connection to the container's server may cost, with an application that does next to nothing."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from serving.container import protocol
from serving.server import free_port

MOST_BODY = 100_000
MOST_HEADER = 10_000
SECONDS = 0.5
PING = b"GET /ping HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /read HTTP/1.1\r\nHost: x\r\n"
LARGE_ANSWER = 20_000_000  # more than the operating system takes for a client that does not read


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "MOST_BODY_BYTES", MOST_BODY)
        patch.setattr(protocol, "MOST_HEADER_BYTES", MOST_HEADER)
        patch.setattr(protocol, "MOST_REQUEST_SECONDS", SECONDS)
        bounded = protocol.BoundedProtocol
        server = uvicorn.Server(
            uvicorn.Config(application, port=port, http=bounded, lifespan="off", log_level="critical")
        )
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        yield port
        server.should_exit = True
        thread.join()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers /read with the length of the body, /large with much, and all else before the body has come."""
    assert scope["type"] == "http"  # so that uvicorn tells it nothing else
    length, more = 0, scope["path"] == "/read"
    while more:
        message = await receive()
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    content = bytes(LARGE_ANSWER) if scope["path"] == "/large" else str(length).encode()
    headers = [(b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def rest(connection: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def refused(port: int, *parts: bytes) -> int:
    """The status of the one reply to these parts, which ends the connection."""
    with connected(port) as connection:
        for part in parts:
            connection.sendall(part)
        head, content = rest(connection).split(b"\r\n\r\n")
        assert b"connection: close" in head
        assert json.loads(content).keys() == {"error_code", "message"}
        assert len(content.splitlines()) == 1
        return int(head.split()[1])


@pytest.mark.parametrize("head", [POST, PING, b"PUT /nowhere HTTP/1.1\r\nContent-Type: text/csv\r\n"])
def test_a_body_above_the_limit_is_refused_before_it_comes(port: int, head: bytes) -> None:
    assert refused(port, head + b"Content-Length: %d\r\n\r\n" % (MOST_BODY + 1)) == 413
    assert refused(port, head + b"Expect: 100-continue\r\nContent-Length: 123456789012\r\n\r\n") == 413


def test_what_is_sent_all_the_same_does_not_keep_the_client_from_the_refusal(port: int) -> None:
    assert refused(port, POST + b"Content-Length: 5000000\r\n\r\n", bytes(5_000_000)) == 413


def test_a_body_in_chunks_is_refused_once_it_is_above_the_limit(port: int) -> None:
    chunk = b"%x\r\n" % MOST_BODY + bytes(MOST_BODY) + b"\r\n"
    assert refused(port, POST + b"Transfer-Encoding: chunked\r\n\r\n", chunk, chunk) == 413


@pytest.mark.parametrize("ending", [b"", b"\r\n\r\n"], ids=["open", "complete"])
@pytest.mark.parametrize(
    "start",
    [
        b"GET /" + b"a" * MOST_HEADER + b" HTTP/1.1\r\nHost: x",
        PING + b"X: " + b"a" * MOST_HEADER,
        PING + b"\r\n".join(b"X%d: a" % number for number in range(MOST_HEADER // 4)),
    ],
    ids=["path", "one field", "many fields"],
)
def test_a_header_above_the_limit_is_refused(port: int, start: bytes, ending: bytes) -> None:
    assert refused(port, start + ending) == 431


def test_fields_after_the_chunks_are_bounded_too(port: int) -> None:
    trailer = b"X: " + b"a" * (MOST_BODY + MOST_HEADER)
    assert refused(port, POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", trailer) == 413


def test_what_is_at_the_limits_is_answered(port: int) -> None:
    field = b"X: " + b"a" * (MOST_HEADER - 200) + b"\r\n"
    with connected(port) as connection:
        for _ in range(2):
            connection.sendall(POST + field + b"Content-Length: %d\r\n\r\n" % MOST_BODY + bytes(MOST_BODY))
            assert connection.recv(65_536).endswith(b"\r\n\r\n100000")


@pytest.mark.parametrize("start", [b"GET /", PING + b"X: ", POST + b"Content-Length: 9\r\n\r\n"])
def test_a_request_has_a_limit_on_its_whole_time(port: int, start: bytes) -> None:
    """However often a byte of it comes."""
    began = time.monotonic()
    with connected(port) as connection:
        connection.sendall(start)
        connection.settimeout(0.1)
        reply = b""
        while not reply:
            with contextlib.suppress(TimeoutError):
                reply = connection.recv(1000)
            connection.sendall(b"a")
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert SECONDS <= time.monotonic() - began < 3 * SECONDS


def test_a_connection_that_says_nothing_is_closed(port: int) -> None:
    with connected(port) as connection:
        assert rest(connection) == b""


def test_an_answer_that_is_not_taken_is_thrown_away(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(3 * SECONDS)
        assert len(rest(connection)) < LARGE_ANSWER


def test_what_is_not_http_is_refused(port: int) -> None:
    assert refused(port, b"correct horse battery staple\r\n\r\n") == 400


def test_a_reply_is_never_taken_for_the_answer_to_something_else(port: int) -> None:
    """The answer went out before the body came, which then is too long."""
    with connected(port) as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n")
        assert b" 200 " in connection.recv(1000)
        connection.sendall(bytes(MOST_BODY + MOST_HEADER))
        with contextlib.suppress(ConnectionResetError):
            assert rest(connection) == b""
