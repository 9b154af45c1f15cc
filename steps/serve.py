"""Serve the champion: an API for programs, a page for people, metrics for Prometheus."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import tempfile
from collections.abc import Mapping
from typing import Any

from mlflow import MlflowClient

from forms import answer, item
from forms.answer import Answer
from forms.earlier import as_now
from forms.form import UnknownFormError
from forms.item import Item, Shape
from registry.candidates import find
from registry.ledger import champion as champion_version
from serving.gateway.app import create_app
from serving.gateway.champion import Champion, Release
from serving.gateway.decoders import Decoders
from serving.gateway.loading import Loader
from serving.gateway.server import authority, listening
from steps import cli, runs
from steps.model_files import fetch
from tasks.contract import Task, UserError, get_task, one_line

M_MMAP_THRESHOLD = -3  # of mallopt(3)


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
        look=lambda: champion_version(client, task.name), load=lambda version: release(client, task, version, loader)
    )
    with Decoders() as decoders:
        server = listening(create_app(task, champion, decoders.read), host, port)
        print(f"Serving {task.name} at http://{authority(host, port)}", flush=True)
        champion.start()
        server.run()
        champion.stop()


def release(client: MlflowClient, task: Task, version: str, loader: Loader) -> Release:
    """Loads a registered version.

    Raises:
        RehearsalError: Its files are not those that were logged.
        UserError: It was not made by `train`, or the store does not give its files at the moment.
    """
    uri = f"models:/{task.name}/{version}"
    candidate = find(client, task, uri)
    with tempfile.TemporaryDirectory() as folder:  # all that answering needs is in memory then
        files = fetch(client, candidate.model_id, folder, client.get_model_version(task.name, version))
        model = loader.load(files.path, name=uri)
    item_form, answer_form, shape, dtype = forms_of(uri, model.metadata.metadata or {})
    return Release(
        version=version,
        item=item_form,
        shape=shape,
        dtype=dtype,
        answer=answer_form,
        figures={name: value for name, value in sorted(candidate.metrics.items()) if _is_figure(name)},
        predict=model.predict,
    )


def forms_of(uri: str, metadata: Mapping[str, Any]) -> tuple[Item, Answer, Shape, str]:
    """What a version's metadata say of its items and answers: the forms, and an item's shape and type.

    Metadata may be of earlier code, or of later code, whose additional fields are left out.

    Raises:
        UserError: What is needed is not there, or is of a form that this code does not know.
    """
    if "item_shape" not in metadata:
        raise UserError(f"{uri} was logged by something else than this train; train again and promote that")
    try:
        values = as_now(metadata)
        shape, dtype = tuple(values["item_shape"]), str(values["item_type"])
        return item.read(values["item"]), answer.read(values["answer"]), shape, dtype
    except UnknownFormError as error:
        raise UserError(f"{uri} cannot be shown by this gateway: {error}; use a newer one") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{uri} does not say what it takes and answers ({one_line(error)}); train again") from error


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
    result.add_argument("--host", default="127.0.0.1", help="where to listen; 0.0.0.0: other machines may come in")
    result.add_argument("--port", type=cli.whole_number, default=5000, help="port to listen at")
    return result


if __name__ == "__main__":
    cli.main(parser(), run)
