"""Serve the champion: an API for programs, a page for people, metrics for Prometheus."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import logging
import os
import resource
import tempfile

import mlflow
import waitress.server
from flask import Flask
from mlflow import MlflowClient

from registry.candidates import find
from registry.ledger import champion as champion_version
from serving.gateway.app import MOST_BYTES, create_app
from serving.gateway.champion import Champion, Release
from serving.gateway.decoders import Decoders
from steps import cli, runs
from steps.model_files import fetch
from tasks.contract import Picture, Presentation, Task, UserError, get_task, one_line

logger = logging.getLogger(__name__)

THREADS = 8
# A connection that sends nothing for so long is closed; those that trickle cost a place in a list, no thread.
IDLE_SECONDS = 30
MOST_CONNECTIONS = 2000
OTHER_FILES = 100
M_MMAP_THRESHOLD = -3  # of mallopt(3)


def serve(task: Task, host: str, port: int) -> None:
    """Answers until it is interrupted.

    Raises:
        UserError: There is no such port or host, or the port is taken.
    """
    if not 1 <= port <= 65535:
        raise UserError(f"port must be from 1 to 65535, received {port}.")
    # MLflow would try again for minutes; the champion is looked for again in a second anyway.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    _return_memory()
    client = runs.connect()
    champion = Champion(
        look=lambda: champion_version(client, task.name), load=lambda version: release(client, task, version)
    )
    with Decoders() as decoders:
        server = _listening(create_app(task, champion, decoders.item), host, port)
        champion.start()
        if champion.release is None:
            logger.info("Nothing to serve yet. %s It is waited for.", champion.problem)
        print(f"Serving {task.name} at http://{host}:{port}", flush=True)
        server.run()
        champion.stop()


def _listening(app: Flask, host: str, port: int) -> waitress.server.BaseWSGIServer | waitress.server.MultiSocketServer:
    """A server that has its port.

    Raises:
        UserError: It cannot have it.
    """
    try:
        return waitress.server.create_server(
            app,
            host=host,
            port=port,
            threads=THREADS,
            connection_limit=_allowed_connections(),
            channel_timeout=IDLE_SECONDS,
            cleanup_interval=IDLE_SECONDS // 3,
            asyncore_use_poll=True,  # select() ends at 1,024 connections
            max_request_body_size=6 * MOST_BYTES,  # the application refuses above MOST_BYTES, and says it in JSON
            ident=None,
        )
    except (OSError, ValueError) as error:
        reason = one_line(error)
        advice = f"Name another port, e.g. port={port + 100}"
        if getattr(error, "errno", None) != errno.EADDRINUSE:
            advice = "Expected an address of this machine, e.g. host=127.0.0.1 or 0.0.0.0"
        raise UserError(f"Cannot listen at {host}:{port} ({reason}). {advice}.") from error


def release(client: MlflowClient, task: Task, version: str) -> Release:
    """Loads a registered version.

    Raises:
        RehearsalError: Its files are not those that were logged.
        UserError: It was not made by `train`, or the store does not give its files at the moment.
    """
    uri = f"models:/{task.name}/{version}"
    candidate = find(client, task, uri)
    with tempfile.TemporaryDirectory() as folder:  # all that answering needs is in memory then
        files = fetch(client, candidate.model_id, folder, client.get_model_version(task.name, version))
        model = mlflow.pyfunc.load_model(str(files.path))
    metadata = model.metadata.metadata or {}
    if "item_shape" not in metadata:
        raise UserError(f"{uri} was logged by something else than this train; train again and promote that")
    presentation = dict(metadata["presentation"])
    if picture := presentation.pop("picture", None):
        presentation["picture"] = Picture(**picture)
    return Release(
        version=version,
        shape=tuple(metadata["item_shape"]),
        presentation=Presentation(**presentation),
        figures={name: value for name, value in sorted(candidate.metrics.items()) if _is_figure(name)},
        predict=model.predict,
    )


def _allowed_connections() -> int:
    """As many as the operating system lets this process have; one too many, and none would be accepted any more."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + OTHER_FILES
    if files < wanted:
        files = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    return max(1, min(MOST_CONNECTIONS, files - OTHER_FILES))


def _return_memory() -> None:
    """Blocks of a megabyte and more go back to the operating system when they are freed.

    Left to itself, glibc raises that limit to 32 MB and keeps what is below for each thread: after a few photographs
    from a camera, 1.5 GB instead of 0.3.
    """
    with contextlib.suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 2**20)


def _is_figure(metric: str) -> bool:
    """Whether people want to see it: measured on the test split, and no end of an interval."""
    return metric.startswith("test_") and not metric.endswith(("_low", "_high"))


def run(arguments: argparse.Namespace) -> None:
    serve(get_task(arguments.task), arguments.host, arguments.port)


def parser() -> cli.Parser:
    result = cli.parser(__doc__)
    result.add_argument("--host", default="127.0.0.1", help="0.0.0.0: reachable from other machines")
    result.add_argument("--port", type=cli.whole_number, default=5000)
    return result


if __name__ == "__main__":
    cli.main(parser(), run)
