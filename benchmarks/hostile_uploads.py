"""What uploads that are too large or break off do to the container's server: its memory afterwards, /ping meanwhile.

    python -m benchmarks.hostile_uploads

The model is one of digits that was not trained. The server has one worker and is the same for all uploads.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import keras
import psutil

from serving.container import slim_server
from serving.package import package
from serving.server import Client
from tasks.contract import get_task

MB = 10**6
MEDIA_TYPES = ("application/json", "application/json; charset=utf-8", "text/csv", None)
SETTLE_SECONDS = 3


def main() -> None:
    task = get_task("digits")
    keras.utils.set_random_seed(1)
    validation = task.load("validation")
    good = json.dumps({"inputs": validation.inputs[:1].tolist()}).encode()
    with tempfile.TemporaryDirectory() as name:
        packaged = package(task, task.build(task.configure()), validation, Path(name))
        packaged.save_model(Path(name) / "model")
        with slim_server(Path(name) / "model") as port:
            process = listener(port)
            for _ in range(100):
                assert Client(port).invoke(good).status == 200
            print(f"{'before':66} {process.memory_info().rss / MB:6.0f} MB")
            for label, head, megabytes in uploads():
                with pings(port) as milliseconds:
                    told = [send(port, head, megabytes) for _ in range(3)]
                time.sleep(SETTLE_SECONDS)
                resident = process.memory_info().rss / MB
                print(f"{label:60} {told[-1]:>5} {resident:6.0f} MB, slowest /ping {max(milliseconds):6.0f} ms")
            assert Client(port).invoke(good).status == 200


def uploads() -> Iterator[tuple[str, bytes, int]]:
    """What each is called, its head, and how many megabytes follow."""
    for media_type in MEDIA_TYPES:
        head = b"POST /invocations HTTP/1.1\r\nHost: x\r\n"
        head += f"Content-Type: {media_type}\r\n".encode() if media_type else b""
        sized = head + b"Content-Length: %d\r\n\r\n"
        chunked = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n"
        yield f"600 MB of 700, {media_type}", sized % (700 * MB), 600
        yield f"600 MB of 700 in a chunk, {media_type}", chunked % (700 * MB), 600
        yield f"90 MB of 95, {media_type}", sized % (95 * MB), 90
        yield f"120 MB, complete, {media_type}", sized % (120 * MB), 120
        yield f"95 MB, complete, {media_type}", sized % (95 * MB), 95
    yield "80 MB of header", b"GET /ping HTTP/1.1\r\nX: ", 80


def send(port: int, head: bytes, megabytes: int) -> str:
    """Sends a head and so many megabytes; gives the status that came back within half a second, "-" where none did."""
    block = b"A" * MB
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(head)
            for _ in range(megabytes):
                connection.sendall(block)
        connection.settimeout(0.5)
        try:
            return connection.recv(100).split()[1].decode()
        except (OSError, IndexError):
            return "-"


@contextlib.contextmanager
def pings(port: int) -> Iterator[list[float]]:
    """The milliseconds that /ping takes on a connection of its own, ten times a second."""
    times: list[float] = []
    stopped = threading.Event()

    def ask() -> None:
        while not stopped.wait(0.1):
            started = time.perf_counter()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            connection.request("GET", "/ping")
            assert connection.getresponse().status == 200
            connection.close()
            times.append((time.perf_counter() - started) * 1000)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield times
    finally:
        stopped.set()
        thread.join()


def listener(port: int) -> psutil.Process:
    """The process that listens there."""
    return psutil.Process(
        next(one.pid for one in psutil.net_connections("tcp") if one.laddr.port == port and one.status == "LISTEN")
    )


if __name__ == "__main__":
    main()
