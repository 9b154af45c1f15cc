"""How the gateway's server treats clients that are slow, many or broken."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, request

from serving.gateway import server as module
from serving.gateway.server import Channel, Server, authority, client_of, listening
from serving.server import free_port

ANSWER_BYTES = 30_000_000  # more than the operating system keeps for a client that does not read
POST = b"POST /length HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.4)
    monkeypatch.setattr(module, "LEAST_BYTES", 50_000)
    monkeypatch.setattr(module, "LOOK_EVERY_SECONDS", 0.05)
    monkeypatch.setattr(module, "_allowed_connections", lambda: 20)


def application() -> Flask:
    app = Flask(__name__)

    @app.post("/length")
    def length() -> str:
        return str(len(request.get_data()))

    @app.get("/slow")
    def slow() -> str:
        time.sleep(1)
        return "slow"

    @app.get("/large")
    def large() -> bytes:
        return b"x" * ANSWER_BYTES

    return app


@pytest.fixture
def most_bytes() -> int:
    return 10_000_000


@pytest.fixture
def port(most_bytes: int) -> Iterator[int]:
    """A server that is running."""
    free = free_port()
    server = listening(application(), "127.0.0.1", free, most_bytes)
    thread = threading.Thread(target=server.run)
    thread.start()
    yield free
    (listener,) = [one for one in server.map.values() if isinstance(one, Server)]
    trigger: Any = listener.trigger
    trigger.pull_trigger(server.close)
    thread.join(timeout=10)
    assert not thread.is_alive()


def connected(port: int, address: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(address, 0))


def answer(connection: socket.socket) -> tuple[int, str]:
    """Status and body of an answer after which the server closes; status 0 where it closes without one."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            data += part
    head, _, body = data.partition(b"\r\n\r\n")
    return (int(head.split()[1]), body.decode()) if head else (0, "")


def asked(port: int, data: bytes, address: str = "127.0.0.1") -> tuple[int, str]:
    with connected(port, address) as connection:
        connection.sendall(data)
        return answer(connection)


GOOD = POST + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc"


@pytest.mark.parametrize(
    ("prefix", "drip"),
    [
        (b"", b""),
        (b"", b"\r\n"),
        (b"", b" "),
        (b"POST /leng", b"x"),
        (POST, b"x"),
        (POST + b"Content-Length: 1000\r\n\r\n", b"x"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1"),
        (POST + b"Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n", b""),
    ],
    ids=range(8),
)
def test_however_it_trickles_a_request_has_an_end(port: int, prefix: bytes, drip: bytes) -> None:
    with connected(port) as connection:
        started = time.monotonic()
        connection.sendall(prefix)
        stopped = threading.Event()

        def trickle() -> None:
            with contextlib.suppress(OSError):
                while not stopped.wait(0.05):
                    connection.sendall(drip)

        thread = threading.Thread(target=trickle)
        thread.start()
        status, body = answer(connection)
        stopped.set()
        thread.join()
    assert time.monotonic() - started < 3
    if drip == b"x":
        expected = {"error": "The request did not arrive within 30 s and one for every 50 kB."}
        assert (status, json.loads(body)) == (408, expected)


def test_a_steady_upload_may_take_longer(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(POST + b"Connection: close\r\nContent-Length: 200000\r\n\r\n")
        for _ in range(10):
            connection.sendall(b"x" * 20_000)
            time.sleep(0.1)
        assert answer(connection) == (200, "200000")


@pytest.mark.parametrize("most_bytes", [10_000])
def test_a_steady_upload_has_an_end_too(port: int) -> None:
    with connected(port) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(POST + b"Content-Length: 10000000\r\n\r\n")
        for _ in range(30):
            connection.sendall(b"x" * 10_000)
            time.sleep(0.1)
        raise AssertionError("it may go on for ever")


def test_the_server_s_own_time_is_not_the_client_s(port: int) -> None:
    assert asked(port, b"GET /slow HTTP/1.1\r\nConnection: close\r\n\r\n") == (200, "slow")


def test_a_connection_that_is_used_again_begins_anew(port: int) -> None:
    with connected(port) as connection:
        for _ in range(4):
            connection.sendall(GOOD.replace(b"close", b"keep-alive"))
            received = b""
            while not received.endswith(b"\r\n\r\n3"):
                part = connection.recv(1000)
                assert part, received
                received += part
            time.sleep(0.2)


def test_an_answer_that_nobody_reads_has_an_end(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_BYTES", 50_000_000)
    with connected(port) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\n\r\n")
        time.sleep(1.5)
        _, body = answer(connection)
        assert len(body) < ANSWER_BYTES


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"], ids=["another address", "the same address"])
def test_who_holds_most_connections_gives_way(port: int, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 30.0)
    with contextlib.ExitStack() as stack:
        slow = stack.enter_context(connected(port))
        slow.sendall(GOOD[:-1])
        for _ in range(200):
            stack.enter_context(connected(port, "127.0.0.2")).sendall(b"P")
        for _ in range(10):
            assert asked(port, GOOD, address) == (200, "3")
        slow.sendall(GOOD[-1:])  # it has waited longest, and is not the one who took the places
        assert answer(slow) == (200, "3")


@pytest.mark.parametrize(
    ("data", "status", "message"),
    [
        (b"GET http://[::1/x HTTP/1.1\r\n\r\n", 400, "Invalid address or Content-Length."),
        (POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400, "Invalid address or Content-Length."),
        (POST + b"Content-Length: -1\r\n\r\n", 400, "Content-Length is invalid."),
        (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400, "Content-Length is invalid."),
        (POST + b"Content-Length: 99999999999\r\n\r\n", 413, "Expected at most 10 MB."),
        (POST + b"Expect: 100-continue\r\nContent-Length: 30000000\r\n\r\n", 413, "Expected at most 10 MB."),
        (POST + b"Expect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n", 413, "Expected at most 10 MB."),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n", 501, "Transfer-Encoding requested is not supported."),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "Invalid chunk size."),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 40_000, 400, "Invalid chunk size."),
        (POST + b"X: " + b"a" * 40_000 + b"\r\n\r\n", 431, "Expected headers of at most 32 kB."),
        (POST + b"X: secret\rx\r\n\r\n", 400, "Bare CR or LF found in header line."),
        (b"get /secret HTTP/1.1\r\n\r\n", 400, "Malformed HTTP method."),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400, "Start line is invalid."),
    ],
    ids=range(14),
)
def test_what_never_reaches_the_application_is_refused_in_json(
    port: int, data: bytes, status: int, message: str
) -> None:
    received, body = asked(port, data)
    assert (received, json.loads(body)) == (status, {"error": message})


@pytest.mark.parametrize("most_bytes", [1_000_000])
@pytest.mark.parametrize("chunked", [False, True], ids=["at once", "in chunks"])
def test_a_body_above_the_limit_is_read_to_its_end_and_not_kept(port: int, chunked: bool) -> None:
    body = b"x" * 3_000_000
    headers = b"Transfer-Encoding: chunked\r\n\r\n2DC6C0\r\n" if chunked else b"Content-Length: 3000000\r\n\r\n"
    data = POST + b"Connection: close\r\n" + headers + body + (b"\r\n0\r\n\r\n" if chunked else b"")
    status, answered = asked(port, data)
    # The application is told how long it was, and refuses by that; this one reads, and finds nothing.
    assert (status, answered) == (200, "0")


@pytest.mark.parametrize("most_bytes", [70_000_000])
def test_the_limit_is_that_of_what_is_served(port: int) -> None:
    expect = b"Connection: close\r\nExpect: 100-continue\r\n"
    refused = asked(port, POST + expect + b"Content-Length: 70000001\r\n\r\n")
    assert (refused[0], json.loads(refused[1])) == (413, {"error": "Expected at most 70 MB."})
    body = b"x" * 30_000_000
    assert asked(port, POST + b"Connection: close\r\nContent-Length: 30000000\r\n\r\n" + body) == (200, "30000000")


def test_an_ipv6_network_is_one_client() -> None:
    assert client_of("192.0.2.1") == "192.0.2.1"
    assert client_of("2001:db8:1:2:3::4") == client_of("2001:db8:1:2:ffff::") == "2001:db8:1:2::/64"
    assert client_of("2001:db8:1:3::4") != client_of("2001:db8:1:2::4")
    assert client_of("fe80::1%eth0") == "fe80::/64"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "127.0.0.1:5720"),
        ("localhost", "localhost:5720"),
        ("::1", "[::1]:5720"),
        ("::", "[::]:5720"),
    ],
)
def test_an_ipv6_address_stands_in_brackets(host: str, expected: str) -> None:
    assert authority(host, 5720) == expected


def test_connections_leave_room_for_the_files_of_their_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.undo()
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    for limits, expected in (((1024, 1024), 462), ((1024, resource.RLIM_INFINITY), 1000), ((150, 150), 25)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limits=limits: limits)
        assert module._allowed_connections() == expected
    assert set_to == [(1024, 1024), (2100, resource.RLIM_INFINITY), (150, 150)]
    assert issubclass(Server.channel_class, Channel)
