"""`kill -9` at random moments of a loaded server, and what of its traffic is missing in the record.

    python -m benchmarks.traffic_kills [--kills 50] [--seed 0] [--requests 200000]

A slim server of digits with two workers is loaded by four clients and killed with all its processes. Every request that
was answered more than a second and a bit before has to stand in the record, and every file has to be readable. After
that one answers so many requests with a record of at most two megabytes, whose size is looked at all the time.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import keras

from monitoring.record import read
from serving.container import FOLDER
from serving.package import package
from serving.process_group import process_group
from serving.server import Client, ServerError, free_port
from tasks.contract import get_task

TASK = get_task("digits")
WORKERS, CLIENTS = 2, 4
# The record is written once a second, and then it takes a moment until that is done.
ALLOWED_SECONDS = 1.25
BOUND_BYTES = 2_000_000
Answered = list[tuple[str, float]]  # ids, and when the answer had come, of time.time


def saved(folder: Path) -> Path:
    """A model that was not trained."""
    keras.utils.set_random_seed(1)
    packaged = package(TASK, TASK.build(TASK.configure()), TASK.load("validation"), folder)
    packaged.save_model(folder / "model")
    return folder / "model"


@contextlib.contextmanager
def serving(model: Path, traffic: Path, **variables: str) -> Iterator[tuple[int, int]]:
    """A server in a process group of its own; gives its port and the number of the group."""
    port = free_port()
    environment = os.environ | {
        "__pyfunc_model_path__": str(model),
        "MLFLOW_MODELS_WORKERS": str(WORKERS),
        "UVICORN_HOST": "127.0.0.1",
        "UVICORN_PORT": str(port),
        "UVICORN_LOG_LEVEL": "error",
        "UVICORN_ACCESS_LOG": "false",
        "METRICS_PORT": "0",
        "TRAFFIC_DIR": str(traffic),
        **variables,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    with process_group([sys.executable, str(FOLDER / "entrypoint.py")], env=environment) as server:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(ServerError):
                if Client(port, timeout=1).get("/ping").status == 200:
                    break
            time.sleep(0.05)
        yield port, server.pid


def load(port: int, body: bytes, answered: Answered, most: int = sys.maxsize) -> None:
    """Asks until there is no answer, or so often."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.suppress(OSError, http.client.HTTPException):
        while len(answered) < most:
            connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            answered.append((response.headers["X-Request-Id"], time.time()))


def killed(model: Path, traffic: Path, seconds: float, body: bytes) -> tuple[Answered, float]:
    """What was answered by a server that is killed after so many seconds of load, and when that was."""
    parts: list[Answered] = [[] for _ in range(CLIENTS)]
    with serving(model, traffic) as (port, group):
        clients = [threading.Thread(target=load, args=(port, body, part)) for part in parts]
        for client in clients:
            client.start()
        time.sleep(seconds)
        moment = time.time()
        os.killpg(group, signal.SIGKILL)
        for client in clients:
            client.join()
    return [one for part in parts for one in part], moment


def bounded(model: Path, traffic: Path, requests: int, body: bytes) -> None:
    """Prints the most that the record took while so many requests were answered, and what is left of them."""
    parts: list[Answered] = [[] for _ in range(CLIENTS)]
    most = 0
    with serving(model, traffic, TRAFFIC_BYTES=str(BOUND_BYTES)) as (port, _):
        clients = [threading.Thread(target=load, args=(port, body, part, requests // CLIENTS)) for part in parts]
        for client in clients:
            client.start()
        while any(client.is_alive() for client in clients):
            most = max(most, size(traffic))
            time.sleep(0.05)
        time.sleep(ALLOWED_SECONDS)
    most = max(most, size(traffic))
    kept, answered = len(read(traffic).rows), sum(map(len, parts))
    print(f"{answered} requests, a record of at most {BOUND_BYTES} bytes: it took {most}, the last {kept} are there")


def size(folder: Path) -> int:
    """Of all files, in bytes. Some may be removed meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--requests", type=int, default=200_000)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    total = unrecorded = too_many = cut_off = 0
    oldest = 0.0
    with tempfile.TemporaryDirectory() as name:
        model = saved(Path(name))
        body = json.dumps({"inputs": TASK.load("validation").inputs[:1].tolist()}).encode()
        for number in range(arguments.kills):
            traffic = Path(name, f"traffic-{number}")
            answered, moment = killed(model, traffic, chance.uniform(1.5, 4.5), body)
            recorded = set(read(traffic).rows["id"])
            ages = [moment - when for request, when in answered if request not in recorded]
            total, unrecorded, oldest = total + len(answered), unrecorded + len(ages), max(oldest, *ages, 0.0)
            too_many += sum(age > ALLOWED_SECONDS for age in ages)
            cut_off += sum(not path.read_bytes().endswith(b"\n") for path in traffic.glob("*/*.jsonl"))
            print(f"{number + 1} of {arguments.kills} kills", file=sys.stderr, flush=True)
        bounded(model, Path(name, "bounded"), arguments.requests, body)
    print(
        f"{arguments.kills} kills, {total} requests answered, {unrecorded} of them not recorded, the oldest answered "
        f"{oldest:.2f} s before; {too_many} before that are missing; {cut_off} files end in the middle of a line"
    )
    sys.exit(too_many > 0)


if __name__ == "__main__":
    main()
