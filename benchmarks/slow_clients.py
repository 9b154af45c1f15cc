"""What a healthy client of the gateway notices of 200 that send a request byte by byte and of some that hang up.

    python -m benchmarks.slow_clients [--task mnist]

Needs a champion. In turn: 500 requests alone, 500 beside the slow ones, five times.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator

from serving.server import free_port, running
from tasks.contract import get_task

REQUESTS = 500
SLOW = 200
ROUNDS = 5
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"


def latencies(port: int, body: bytes) -> list[float]:
    """Milliseconds of each of REQUESTS requests over one connection, 2 ms apart."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    times = []
    for _ in range(REQUESTS):
        started = time.perf_counter()
        connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        times.append((time.perf_counter() - started) * 1000)
        assert response.status == 200
        time.sleep(0.002)
    return times


@contextlib.contextmanager
def slow_clients(port: int) -> Iterator[None]:
    """SLOW connections that send one byte each every half second, and one new one in that time that leaves."""
    stopped = threading.Event()
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(SLOW)]

    def trickle() -> None:
        sent = 0
        while not stopped.wait(0.5):
            for connection in connections:
                connection.sendall(HEAD[sent : sent + 1] if sent < len(HEAD) else b" ")
            with socket.create_connection(("127.0.0.1", port)) as leaver:
                leaver.sendall(HEAD + b"{")
            sent += 1

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        for connection in connections:
            connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="mnist")
    task = get_task(parser.parse_args().task)
    body = json.dumps({"image": task.load("validation").inputs[0].ravel().tolist()}).encode()
    port = free_port()
    p95: dict[str, list[float]] = {"alone": [], "beside": []}
    with running([sys.executable, "-m", "steps.serve", "--task", task.name, "--port", str(port)], port, "/readyz"):
        latencies(port, body)
        for _ in range(ROUNDS):
            p95["alone"].append(statistics.quantiles(latencies(port, body), n=20)[-1])
            with slow_clients(port):
                time.sleep(1)
                p95["beside"].append(statistics.quantiles(latencies(port, body), n=20)[-1])
    for name, values in p95.items():
        print(f"{name:>6}: p95 {statistics.median(values):.2f} ms ({min(values):.2f} to {max(values):.2f})")
    print(f"ratio {statistics.median(p95['beside']) / statistics.median(p95['alone']):.2f}")


if __name__ == "__main__":
    main()
