"""A registered version, loaded and ready to answer."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.models import Model

from forms import answer, item
from forms.answer import Answer
from forms.earlier import as_now
from forms.form import UnknownFormError
from forms.item import Item, Shape
from lifecycle.model_files import fetch
from registry.candidates import find
from serving.gateway.champion import Release
from serving.gateway.loading import Loader
from serving.gateway.shadow import Files
from serving.gateway.traffic import Traffic
from tasks.contract import Task, UserError, one_line


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
        traffic=Traffic(model.unwrap_python_model(), uri),
    )


def challenger(client: MlflowClient, task: Task, version: str, folder: Path) -> Files:
    """Puts the files of a registered version into the empty `folder`, to be run in a process of its own.

    Raises:
        RehearsalError: Its files are not those that were logged.
        UserError: It was not made by `train`, or the store does not give its files at the moment.
    """
    uri = f"models:/{task.name}/{version}"
    candidate = find(client, task, uri)
    files = fetch(client, candidate.model_id, str(folder), client.get_model_version(task.name, version))
    _, answer_form, _, _ = forms_of(uri, Model.load(files.path).metadata or {})
    return Files(files.path, answer_form)


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


def _is_figure(metric: str) -> bool:
    """Whether people want to see it: measured on the test split, and no end of an interval."""
    return metric.startswith("test_") and not metric.endswith(("_low", "_high"))
