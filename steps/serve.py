"""Serve the champion: an API for programs, a page for people, metrics for Prometheus."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import uuid

from mlflow import MlflowClient

from lifecycle import runs
from lifecycle.releases import challenger, release
from registry.ledger import champion as champion_version
from registry.shadow import challenger as challenger_version
from registry.shadow import keep
from serving.gateway.app import create_app
from serving.gateway.champion import Champion
from serving.gateway.decoders import Decoders
from serving.gateway.hook import look_every
from serving.gateway.loading import Loader
from serving.gateway.server import authority, listening
from serving.gateway.shadow import Shadow
from steps import cli
from tasks.contract import Task, UserError, get_task

M_MMAP_THRESHOLD = -3  # of mallopt(3)


def serve(task: Task, host: str, port: int, share: float = 0.0) -> None:
    """Answers until it is interrupted.

    Args:
        task: Whose champion answers.
        host: Where to listen.
        port: Where to listen.
        share: Of the requests, from 0 to 1, those that the challenger answers, too.

    Raises:
        UserError: There is no such port, host or share, or the port is taken.
    """
    if not 0 <= share <= 1:
        raise UserError(f"shadow must be a share of the requests, from 0 to 1, received {share:g}.")
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
    shadow = shadow_of(client, task, share) if share else None
    with Decoders() as decoders:
        app = create_app(task, champion, decoders.read, shadow)
        server = listening(app, host, port, app.config["MAX_CONTENT_LENGTH"])
        print(f"Serving {task.name} at http://{authority(host, port)}", flush=True)
        champion.start()
        with shadow or contextlib.nullcontext():
            server.run()
        champion.stop()


def shadow_of(client: MlflowClient, task: Task, share: float) -> Shadow:
    """Has the challenger of the task answer that share of the requests, too."""
    gateway = uuid.uuid4().hex[:12]
    return Shadow(
        share,
        look=lambda: challenger_version(client, task.name),
        fetch=lambda version, folder: challenger(client, task, version, folder),
        keep=lambda version, counts: keep(client, task.name, version, gateway, counts),
    )


def _return_memory() -> None:
    """Blocks of a megabyte and more go back to the operating system when they are freed.

    Left to itself, glibc raises that limit to 32 MB and keeps what is below for each thread: after a few photographs
    from a camera, 1.5 GB instead of 0.3.
    """
    with contextlib.suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 2**20)


def run(arguments: argparse.Namespace) -> None:
    serve(get_task(arguments.task), arguments.host, arguments.port, arguments.shadow)


def parser() -> cli.Parser:
    result = cli.parser(__doc__)
    result.add_argument("--host", default="127.0.0.1", help="where to listen; 0.0.0.0: other machines may come in")
    result.add_argument("--port", type=cli.whole_number, default=5000, help="port to listen at")
    words = "share of the requests, 0 to 1, that the challenger answers, too"
    result.add_argument("--shadow", type=cli.number, default=0, help=words)
    return result


if __name__ == "__main__":
    cli.main(parser(), run)
