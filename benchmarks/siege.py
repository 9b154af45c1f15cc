"""What good clients of the gateway notice while one address holds all connections it can and sends almost nothing.

    python -m benchmarks.siege [--task mnist] [--connections 2500] [--seconds 90]

Needs a champion, and Linux, where all of 127.0.0.0/8 is this machine. The besieger has the address 127.0.0.2, sends a
byte on each connection every ten seconds, and opens those again that were closed. Two good clients ask once a second on
new connections, one from an address of its own, one from the besieger's.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import resource
import socket
import statistics
import sys
import threading
import time

from serving.server import free_port, running
from tasks.contract import get_task

HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
BESIEGER, GOOD = "127.0.0.2", "127.0.0.1"
EVERY_SECONDS = 10.0
TIMEOUT_SECONDS = 5.0


class Siege:
    """Keeps up to `most` connections open until it is stopped."""

    def __init__(self, port: int, most: int) -> None:
        self._port = port
        self._most = most
        self._open: list[socket.socket] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.opened = 0

    def _run(self) -> None:
        sent = 0
        while not self._stopped.is_set():
            began = time.monotonic()
            self._open = [connection for connection in self._open if self._trickles(connection, sent)]
            while len(self._open) < self._most and not self._stopped.is_set():
                try:
                    connection = socket.create_connection(("127.0.0.1", self._port), 1, source_address=(BESIEGER, 0))
                except OSError:
                    break
                self._open.append(connection)
                self.opened += 1
            sent += 1
            self._stopped.wait(EVERY_SECONDS - (time.monotonic() - began))

    def _trickles(self, connection: socket.socket, sent: int) -> bool:
        """Sends a byte; whether the connection is still there."""
        try:
            connection.send(HEAD[sent : sent + 1] or b" ")
            connection.setblocking(False)
            return connection.recv(1000) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def __enter__(self) -> Siege:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        for connection in self._open:
            connection.close()


def ask(port: int, address: str, body: bytes) -> float | None:
    """Milliseconds that a request on a new connection took; None where there was no answer in TIMEOUT_SECONDS."""
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, TIMEOUT_SECONDS, source_address=(address, 0))
    with contextlib.closing(connection):
        try:
            connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
            answered = connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return None
    return (time.perf_counter() - started) * 1000 if answered else None


def once_a_second(port: int, address: str, body: bytes, seconds: float, times: list[float | None]) -> None:
    ends = time.monotonic() + seconds
    while (began := time.monotonic()) < ends:
        times.append(ask(port, address, body))
        time.sleep(max(0.0, began + 1 - time.monotonic()))


def report(name: str, times: list[float | None]) -> None:
    answered = [value for value in times if value is not None]
    words = f"median {statistics.median(answered):.1f} ms, longest {max(answered):.0f} ms" if answered else "none"
    print(f"{name}: {len(answered)} of {len(times)} requests answered, {words}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="mnist")
    parser.add_argument("--connections", type=int, default=2500)
    parser.add_argument("--seconds", type=float, default=90)
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, arguments.connections + 200), most))
    task = get_task(arguments.task)
    body = json.dumps({"image": task.load("validation").inputs[0].ravel().tolist()}).encode()
    port = free_port()
    answers: dict[str, list[float | None]] = {"another address": [], "the same address": []}
    with running([sys.executable, "-m", "steps.serve", "--task", task.name, "--port", str(port)], port, "/readyz"):
        with Siege(port, arguments.connections) as siege:
            time.sleep(5)
            clients = [
                threading.Thread(target=once_a_second, args=(port, address, body, arguments.seconds, times))
                for address, times in zip((GOOD, BESIEGER), answers.values(), strict=True)
            ]
            for client in clients:
                client.start()
            for client in clients:
                client.join()
        print(f"{siege.opened} connections opened by the besieger")
    for name, times in answers.items():
        report(name, times)


if __name__ == "__main__":
    main()
