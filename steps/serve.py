"""Serve the champion: an API for programs, a page for people, metrics for Prometheus."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os

from lifecycle import runs
from lifecycle.releases import release
from registry.ledger import champion as champion_version
from serving.gateway.app import create_app
from serving.gateway.champion import LOOK_EVERY_SECONDS, Champion
from serving.gateway.decoders import Decoders
from serving.gateway.loading import Loader
from serving.gateway.server import authority, listening
from steps import cli
from tasks.contract import Task, UserError, get_task

M_MMAP_THRESHOLD = -3  # of mallopt(3)
MOST_LOOK_SECONDS = 3600.0


def serve(task: Task, host: str, port: int) -> None:
    """Answers until it is interrupted.

    Raises:
        UserError: There is no such port or host, or the port is taken.
    """
    # MLflow would try again for minutes; the champion is looked for again in a second anyway.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as the versions do themselves
    _return_memory()
    client = runs.connect()
    loader = Loader()
    champion = Champion(
        look=lambda: champion_version(client, task.name),
        load=lambda version: release(client, task, version, loader),
        look_every=look_every(),
    )
    with Decoders() as decoders:
        server = listening(create_app(task, champion, decoders.read), host, port)
        print(f"Serving {task.name} at http://{authority(host, port)}", flush=True)
        champion.start()
        server.run()
        champion.stop()


def look_every() -> float:
    """Seconds between two looks at the alias, `LOOK_SECONDS`. Webhooks make up for long ones.

    Raises:
        UserError: It is no number, or out of bounds.
    """
    given = os.environ.get("LOOK_SECONDS") or str(LOOK_EVERY_SECONDS)
    with contextlib.suppress(ValueError):
        if LOOK_EVERY_SECONDS <= (seconds := float(given)) <= MOST_LOOK_SECONDS:
            return seconds
    raise UserError(
        f"LOOK_SECONDS must be a number from {LOOK_EVERY_SECONDS:g} to {MOST_LOOK_SECONDS:g}, it is {given!r}."
    )


def _return_memory() -> None:
    """Blocks of a megabyte and more go back to the operating system when they are freed.

    Left to itself, glibc raises that limit to 32 MB and keeps what is below for each thread: after a few photographs
    from a camera, 1.5 GB instead of 0.3.
    """
    with contextlib.suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 2**20)


def run(arguments: argparse.Namespace) -> None:
    serve(get_task(arguments.task), arguments.host, arguments.port)


def parser() -> cli.Parser:
    result = cli.parser(__doc__)
    result.add_argument("--host", default="127.0.0.1", help="where to listen; 0.0.0.0: other machines may come in")
    result.add_argument("--port", type=cli.whole_number, default=5000, help="port to listen at")
    return result


if __name__ == "__main__":
    cli.main(parser(), run)
