"""waitress with patience that ends: no client keeps a place for long, and none keeps the places of others.

waitress closes a connection on which nothing moves. One that sends a byte now and then it keeps for as long as the
client likes, and when all places are taken it accepts nobody. Here a client has a time for every request and every
answer, as in Apache's mod_reqtimeout, and when all places are taken, the client that holds most of them loses the one
that has waited longest. So there is no number of connections for each client to be set, nor one that would have to be
another behind a reverse proxy, where all clients have one address.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import io
import ipaddress
import json
import socket
import sys
import time
from typing import Any

from flask import Flask
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.receiver import ChunkedReceiver
from waitress.server import MultiSocketServer, TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher
from waitress.utilities import BadRequest, Error, RequestEntityTooLarge

from serving.gateway.app import HEADERS, MOST_BYTES, sentence, too_large
from tasks.contract import UserError, one_line

THREADS = 8
# A client may take so long to send a request, to read an answer, or between the two, and a second more for every
# LEAST_BYTES that moved, up to the largest request: 230 s in all where that is of 10 MB. Fewer than 0.4 Mbit/s no line
# in use should have.
PATIENCE_SECONDS = 30.0
LEAST_BYTES = 50_000
TOO_SLOW = f"The request did not arrive within {PATIENCE_SECONDS:.0f} s and one for every {LEAST_BYTES // 1000} kB"
# How many times as large as what is taken a body may be that is read to its end, so that the client hears why not.
READ_TO_THE_END = 6
LOOK_EVERY_SECONDS = 1.0
MOST_HEADER_BYTES = 32_768
BODY_BYTES_IN_MEMORY = 131_072  # of each request that is not complete yet; what is beyond goes to a file
MOST_CONNECTIONS = 1000
MOST_CONNECTIONS_OF_SELECT = 400
AT_ONCE = 50  # connections that are accepted before the others have their turn again
FILES = 2  # of a connection: itself, and the body that is too large for memory
OTHER_FILES = 100


class RequestTimeoutError(Error):
    """The client took too long (RFC 9110, section 15.5.9)."""

    code = 408
    reason = "Request Timeout"


class Discarded:
    """Takes the place of a body that is too large: counts what still comes, and keeps nothing of it."""

    def __init__(self, length: int) -> None:
        self._length = length

    def append(self, data: bytes) -> None:
        self._length += len(data)

    def __len__(self) -> int:
        return self._length

    def getfile(self) -> io.BytesIO:
        return io.BytesIO()

    def close(self) -> None:
        """There is nothing to close."""


class Parser(HTTPRequestParser):
    """Bounds what waitress does not, and refuses where it would raise."""

    error: Error | None
    expect_continue: bool

    def received(self, data: bytes) -> int:
        receiver: Any = self.body_rcv
        if receiver is None and not self.header_plus and not data.strip():
            return len(data)  # blank lines in front of a request are no request (RFC 9112, section 2.2)
        consumed = super().received(data)
        most_bytes = most_taken(self.adj)
        if self.expect_continue and self.content_length > most_bytes:
            self.error = self.error or RequestEntityTooLarge("")
        if self.error:
            self.completed, self.expect_continue = True, False  # waitress would ask for the body of a refused request
        # The size in front of a chunk and what follows the last are searched again with every byte that comes.
        chunked = isinstance(receiver, ChunkedReceiver) and not self.completed
        if chunked and max(len(receiver.control_line), len(receiver.trailer)) > MOST_HEADER_BYTES:
            self.error, self.completed = BadRequest("Invalid chunk size"), True
        # It is read to its end all the same: a client that is cut off while it sends does not hear why.
        if self.body_bytes_received > most_bytes and not isinstance(receiver.buf, Discarded):
            length = len(receiver)
            receiver.buf.close()
            receiver.buf = Discarded(length)
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # of urlsplit, or of a length of thousands of digits
            raise ParsingError("Invalid address or Content-Length") from error


class JsonErrorTask(ErrorTask):
    """An error that waitress finds before the application is asked, in the application's form. What was sent, which
    waitress quotes, is not repeated."""

    def execute(self) -> None:
        error = self.request.error
        most_bytes = most_taken(self.channel.adj)
        messages = {413: too_large(most_bytes), 431: f"Expected headers of at most {MOST_HEADER_BYTES // 1024} kB."}
        message = messages.get(error.code) or sentence(error.body.partition(' "')[0])
        body = json.dumps({"error": message}).encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers.extend([("Content-Type", "application/json"), *HEADERS.items()])
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class Channel(HTTPChannel):
    """A connection that knows how long it has been waiting for its client.

    Attributes:
        client: Whose it is, for counting.
        since: When the client's turn began: to send a request, to finish it, or to read an answer. Of time.monotonic.
        moved: Bytes sent and received since then.
        given_up: It was shut down, and is closed as soon as the loop comes to it.
    """

    parser_class = Parser
    error_task_class = JsonErrorTask
    request: Parser | None

    def __init__(self, server: Any, sock: socket.socket, addr: Any, adj: Adjustments, map: Any = None) -> None:
        self.client = client_of(addr[0])
        self.given_up = False
        self._turn_begins()
        super().__init__(server, sock, addr, adj, map=map)

    @property
    def is_waiting(self) -> bool:
        """Whether it is the client's turn, and not the server's to make an answer."""
        return not self.given_up and (not self.requests or self.total_outbufs_len > 0)

    def is_late(self, now: float) -> bool:
        allowed = PATIENCE_SECONDS + min(self.moved, most_taken(self.adj)) / LEAST_BYTES
        return self.is_waiting and now > self.since + allowed

    def received(self, data: bytes) -> bool:
        before = self.request
        self.moved += len(data)
        taken = super().received(data)
        if self.request is not before:
            self._turn_begins()
        return taken

    def write_soon(self, data: bytes) -> int:
        if not self.total_outbufs_len:
            self._turn_begins()
        return super().write_soon(data)

    def send(self, data: bytes, do_close: bool = True) -> int:
        sent: int = super().send(data, do_close)
        self.moved += sent
        return sent

    def expire(self) -> None:
        """Ends it because the client took too long. One that is still sending is told."""
        with self.requests_lock:
            request = None if self.requests or self.total_outbufs_len else self.request
            if request is not None:
                self.request = None
                request.error = RequestTimeoutError(TOO_SLOW)
                self.requests.append(request)
                self.server.add_task(self)
        if request is None:
            self.hang_up()

    def hang_up(self) -> None:
        """Has the loop close it. A client that reads nothing would never let waitress come to that by itself."""
        self.given_up = True
        with contextlib.suppress(OSError):  # the client was faster
            self.socket.shutdown(socket.SHUT_RDWR)

    def _turn_begins(self) -> None:
        self.since = time.monotonic()
        self.moved = 0


class Server(TcpWSGIServer):
    channel_class = Channel
    next_look = 0.0

    def readable(self) -> bool:
        """waitress asks before every round."""
        now = time.monotonic()
        if now >= self.next_look:
            self.next_look = now + LOOK_EVERY_SECONDS
            for channel in self._channels():
                if channel.is_late(now):
                    channel.expire()
        return super().readable()

    def maintenance(self, now: float) -> None:
        """Done in `readable`, by a clock that nobody sets."""

    def handle_accept(self) -> None:
        """Accepts all who are there, up to AT_ONCE. One a round, as waitress does, would keep many waiting."""
        for _ in range(AT_ONCE):
            before = len(self._map)
            super().handle_accept()
            if len(self._map) == before:
                break
        self._make_room()

    def _make_room(self) -> None:
        """Gives up connections until there is room again: always the longest waiting of the client that has most."""
        channels = [channel for channel in self._channels() if not channel.given_up]
        excess = len(channels) - (self.adj.connection_limit - AT_ONCE)
        if excess <= 0:
            return
        waiting: dict[str, list[Channel]] = collections.defaultdict(list)
        for channel in sorted(channels, key=lambda channel: channel.since, reverse=True):
            if channel.is_waiting:
                waiting[channel.client].append(channel)
        for _ in range(excess):
            most = max(waiting.values(), key=len, default=[])
            if not most:
                return  # all of them are being answered
            most.pop().hang_up()

    def _channels(self) -> list[Channel]:
        return [channel for channel in self._map.values() if isinstance(channel, Channel)]


def most_taken(adjustments: Adjustments) -> int:
    """Bytes of the largest body that the application takes; it refuses what is larger."""
    return adjustments.max_request_body_size // READ_TO_THE_END


def client_of(address: str) -> str:
    """Whose address it is: of IPv6 everybody has a whole network, the first 64 bits (RFC 6177)."""
    if ":" not in address:
        return address
    return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))


def authority(host: str, port: int) -> str:
    """Host and port as they stand in a URL (RFC 3986, section 3.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listening(app: Flask, host: str, port: int, most_bytes: int = MOST_BYTES) -> MultiSocketServer:
    """A server that has its port; `run` answers until it is interrupted.

    Args:
        app: It refuses bodies of more than `most_bytes`.
        host: Of this machine.
        port: From 1 to 65535.
        most_bytes: What of a body is kept.

    Raises:
        UserError: There is no such port or host, or the port is taken.
    """
    if not 1 <= port <= 65535:
        raise UserError(f"port must be from 1 to 65535, received {port}.")
    sockets: dict[int, Any] = {}
    dispatcher = ThreadedTaskDispatcher()
    try:
        adjustments = _adjustments(host, port, most_bytes)
        servers = [
            Server(app, sockets, dispatcher=dispatcher, adj=adjustments, sockinfo=info) for info in adjustments.listen
        ]
    except (OSError, ValueError) as error:
        advice = f"Name another port, e.g. port={port + 100}"
        if getattr(error, "errno", None) != errno.EADDRINUSE:
            advice = "Expected an address of this machine, e.g. host=127.0.0.1 or 0.0.0.0"
        raise UserError(f"Cannot listen at {authority(host, port)} ({one_line(error)}). {advice}.") from error
    dispatcher.set_thread_count(THREADS)
    places = [(server.effective_host, server.effective_port) for server in servers]
    return MultiSocketServer(sockets, adjustments, places, dispatcher)


def _adjustments(host: str, port: int, most_bytes: int) -> Adjustments:
    return Adjustments(
        host=host,
        port=port,
        connection_limit=_allowed_connections() + AT_ONCE,
        asyncore_use_poll=True,  # select() ends at 1,024 connections
        max_request_header_size=MOST_HEADER_BYTES,
        max_request_body_size=READ_TO_THE_END * most_bytes,
        inbuf_overflow=BODY_BYTES_IN_MEMORY,
        ident=None,
    )


def _allowed_connections() -> int:
    """As many as the operating system lets this process have; one too many, and none would be accepted any more."""
    if sys.platform == "win32":  # where select() takes 512
        return MOST_CONNECTIONS_OF_SELECT
    import resource

    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES * MOST_CONNECTIONS + OTHER_FILES
    if files < wanted:
        files = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    return max(1, min(MOST_CONNECTIONS, (files - OTHER_FILES) // FILES))
