"""What good clients of the gateway notice while the alias moves and others do what they should not.

    python -m benchmarks.mixed_traffic [--seconds 300]

On digits, in a temporary store with two versions, between which the alias moves every five seconds. Good clients send
numbers and pictures all the time. Beside them, one client sends a request byte by byte, one a JPEG whose scans are
repeated 200 times, and one breaks off its uploads.
"""

from __future__ import annotations

import argparse
import collections
import http.client
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import psutil
from mlflow import MlflowClient
from PIL import Image

from registry.ledger import ALIAS
from serving.server import free_port, running
from tasks.contract import get_task

ROOT = Path(__file__).resolve().parent.parent
TASK = get_task("digits")
MOVE_SECONDS = 5.0
WARM_UP_SECONDS = 10.0
BOMB_SIDE, BOMB_SCANS = 4000, 200
BOUNDARY = b"part"
Client = Callable[[int], None]


class Traffic:
    """Clients that go on until they are stopped, and what the good ones got."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stopped = threading.Event()
        self.answers: collections.Counter[str] = collections.Counter()
        self.milliseconds: list[float] = []

    def run(self, seconds: float, good: list[tuple[bytes, str]], others: list[Client]) -> None:
        """Sends the good requests, one client each, beside the others for so long."""
        threads = [threading.Thread(target=self._good, args=request) for request in good]
        threads += [threading.Thread(target=self._other, args=(client,)) for client in others]
        for thread in threads:
            thread.start()
        self._stopped.wait(seconds)
        self._stopped.set()
        for thread in threads:
            thread.join()

    def _good(self, body: bytes, content_type: str) -> None:
        while not self._stopped.wait(0.02):
            started = time.perf_counter()
            self.answers[post(self._port, body, content_type)] += 1
            self.milliseconds.append(1000 * (time.perf_counter() - started))

    def _other(self, client: Client) -> None:
        while not self._stopped.wait(0.5):
            client(self._port)


def post(port: int, body: bytes, content_type: str) -> str:
    """The answer's status, or why there was none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", "/predict", body, {"Content-Type": content_type})
        return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def form(file: bytes) -> tuple[bytes, str]:
    """Body and content type of an upload."""
    head = b'Content-Disposition: form-data; name="image"; filename="picture"\r\n\r\n'
    body = b"--" + BOUNDARY + b"\r\n" + head + file + b"\r\n--" + BOUNDARY + b"--\r\n"
    return body, f"multipart/form-data; boundary={BOUNDARY.decode()}"


def scan_bomb() -> bytes:
    """A progressive JPEG whose last scan is repeated (ITU-T T.81, annex G)."""
    buffer = io.BytesIO()
    Image.new("L", (BOMB_SIDE, BOMB_SIDE), 128).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last, end = data.rindex(b"\xff\xda"), len(data) - 2
    return data[:end] + data[last:end] * BOMB_SCANS + data[end:]


def byte_by_byte(port: int) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for byte in head[:10]:
            connection.sendall(bytes([byte]))
            time.sleep(0.5)


def broken_off(port: int) -> None:
    body, content_type = form(bytes(9_000_000))
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head.encode() + body[: len(body) // 2])


def move(client: MlflowClient, versions: list[str], stopped: threading.Event) -> None:
    number = 0
    while not stopped.wait(MOVE_SECONDS):
        number += 1
        client.set_registered_model_alias(TASK.name, ALIAS, versions[number % len(versions)])
    print(f"the alias moved {number} times")


def memory(port: int) -> float:
    """Megabytes that the processes of the gateway at this port hold, by the proportional set size."""
    (gateway,) = {c.pid for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr.port == port}
    process = psutil.Process(gateway)
    return sum(one.memory_full_info().pss for one in [process, *process.children(recursive=True)]) / 1e6


def prepare() -> tuple[MlflowClient, list[str]]:
    """A store with two promoted versions."""
    for seed, epochs in ((1, 2), (2, 25)):
        command = [
            sys.executable,
            "-m",
            "steps.main",
            "--task",
            TASK.name,
            "--epochs",
            str(epochs),
            "--seed",
            str(seed),
        ]
        subprocess.run([*command, "--learning-rate", "0.005"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    client = MlflowClient()
    versions = [str(version.version) for version in client.search_model_versions(f"name = '{TASK.name}'")]
    assert len(versions) > 1, "the second model was not registered"
    return client, versions


def besiege(seconds: float) -> bool:
    """Whether every good request was answered and memory came back."""
    client, versions = prepare()
    item = TASK.load("validation").inputs[0]
    picture = io.BytesIO()
    Image.fromarray(255 - np.kron(item, np.ones((40, 40), np.uint8)) * 15).save(picture, "PNG")
    numbers = (json.dumps({"image": item.ravel().tolist()}).encode(), "application/json")
    good = [numbers, form(picture.getvalue())]
    bomb, bombs = form(scan_bomb()), collections.Counter[str]()
    others: list[Client] = [byte_by_byte, broken_off, lambda port: bombs.update([post(port, *bomb)])]
    port, stopped = free_port(), threading.Event()
    with running([sys.executable, "-m", "steps.serve", "--task", TASK.name, "--port", str(port)], port, "/readyz"):
        Traffic(port).run(WARM_UP_SECONDS, good, [])
        before = memory(port)
        mover = threading.Thread(target=move, args=(client, versions, stopped))
        mover.start()
        traffic = Traffic(port)
        traffic.run(seconds, good, others)
        stopped.set()
        mover.join()
        time.sleep(WARM_UP_SECONDS)
        after = memory(port)
    p50, p95, p99 = (float(np.quantile(traffic.milliseconds, share)) for share in (0.5, 0.95, 0.99))
    print(f"good requests: {dict(traffic.answers)}; p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms")
    print(f"bombs of {len(bomb[0]) / 1e3:.0f} kB: {dict(bombs)}")
    print(f"memory: {before:.0f} MB before, {after:.0f} MB after ({after / before:.2f})")
    return set(traffic.answers) == {"200"} and after <= 1.2 * before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
        sys.exit(not besiege(arguments.seconds))


if __name__ == "__main__":
    main()
