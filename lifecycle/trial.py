"""Tries before the first epoch what is needed after the last one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.fingerprint import fingerprint
from serving.export import export
from serving.package import check_outputs, check_values, run_onnx
from tasks.contract import Config, Split, Task, cache_folder

if TYPE_CHECKING:
    import keras


def try_export(task: Task, config: Config, model: keras.Model, split: Split) -> None:
    """Exports the untrained model and asks it about one item, unless a model of the same layers and code was exported
    here before.

    Raises:
        ExportError: It cannot be exported.
        UserError: Its outputs cannot be the task's answer.
    """
    done = cache_folder() / "exported" / _digest(task, config, model)
    if done.exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        export(model, path)
        outputs = run_onnx(path, split.inputs[:1])
        check_outputs(task, outputs)
        check_values(task, outputs)
    with contextlib.suppress(OSError):  # where nothing can be kept, it is tried each time
        done.parent.mkdir(parents=True, exist_ok=True)
        done.touch()


def _digest(task: Task, config: Config, model: keras.Model) -> str:
    """Of what decides whether the model can be exported: its layers, the code of those that are the task's own, and
    the libraries."""
    found = fingerprint(task, config, {})
    try:
        layers = model.to_json()
    except NotImplementedError:  # it has layers that do not say what they are made of
        layers = json.dumps(found.config)
    return hashlib.sha256(json.dumps([layers, found.code, found.libraries], sort_keys=True).encode()).hexdigest()
