"""Log a model that was trained elsewhere as a candidate of a task."""

from __future__ import annotations

import importlib
import pkgutil
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow

from forms.outputs import arrays, each
from lifecycle import runs
from lifecycle.terminal import import_keras
from lifecycle.training import Trained, add_facts, log_data, log_model, measured
from registry.candidates import find
from registry.card import describe
from serving.package import check_outputs, package
from tasks.contract import Split, Task, UserError, one_line

if TYPE_CHECKING:
    import keras


def adopt(task: Task, file: Path) -> Trained:
    """Measures the model on the validation split and logs it, ready to be evaluated, promoted and served, as if it had
    been trained here.

    Args:
        task: Whose items the model takes, as raw values, and whose answers it gives, in the order of its labels.
        file: A `.keras` file.

    Raises:
        UserError: It is none, does not fit the task, or cannot be exported.
    """
    if not file.is_file():
        raise UserError(f"There is no file {file}.")
    client = runs.connect()
    name = re.sub(r"[^\w-]+", "_", file.stem)
    note = f"Adopts a model of **{task.name}** that was trained elsewhere, `{file.name}`. {task.summary}"
    with runs.step_run(client, task, "adopt", f"{name}, adopted", note) as run:
        values = {"adopted_from": file.name}
        mlflow.log_params({f"config.{key}": value for key, value in values.items()})
        runs.log_code_and_environment()
        import_keras()
        validation = task.load("validation")
        log_data(task, validation=validation)
        model = fitted_to(task, read(task, file), validation)
        with tempfile.TemporaryDirectory() as folder:
            packaged = package(task, model, validation, Path(folder))
            metrics = measured(task, validation, packaged.outputs, "val")
            add_facts(client, run, task, f"{name}, adopted", values, packaged, metrics, validation, Path(folder))
            adopted = log_model(client, run, task, name, values, packaged, metrics)
        describe(client, task, find(client, task, adopted.model_uri))
        primary = f"val_{task.primary.name}"
        runs.describe(f"{note}\n\n**{primary} {metrics[primary]:.4f}**. Model: `{adopted.model_uri}`")
        print("\n".join(f"{key:<32}{value:.4f}" for key, value in metrics.items()))
        print(f"Logged {adopted.model_uri}")
    return adopted


def read(task: Task, file: Path) -> keras.Model:
    """The model in a file; layers of its own are looked for in the task's folder.

    Raises:
        UserError: It cannot be read.
    """
    import keras

    package_of_task = importlib.import_module(f"tasks.{task.name}")
    for module in pkgutil.iter_modules(package_of_task.__path__, f"{package_of_task.__name__}."):
        importlib.import_module(module.name)  # where layers are registered
    try:
        return keras.saving.load_model(file, compile=False)
    except (ValueError, TypeError, OSError) as error:  # Keras's, of what is no such file, or of an unknown layer
        reason = one_line(error).rstrip(".")[:300]
        raise UserError(
            f"{file.name} cannot be read as a Keras model: {reason}. Layers of its own have to be registered, with "
            f"keras.saving.register_keras_serializable, by a module in tasks/{task.name}/."
        ) from error


def fitted_to(task: Task, model: Any, split: Split) -> keras.Model:
    """The model, taking items of the task's type.

    Raises:
        UserError: Its inputs or outputs are not those of the task.
    """
    import keras

    if len(getattr(model, "inputs", None) or ()) != 1:
        raise UserError(f"Expected a model with one input, made of keras.Input, received {type(model).__name__}.")
    taken, item = tuple(model.inputs[0].shape[1:]), task.item.shape(split.inputs)
    if not _fits(taken, item):
        raise UserError(f"The model takes items of the shape {taken}, those of {task.name} have {item}.")
    items = keras.Input(item, dtype=split.inputs.dtype.name)
    adapted = keras.Model(items, model(keras.ops.cast(items, model.inputs[0].dtype)))
    check_outputs(task, adapted.output)
    right = task.answer.perfect(each(lambda one: one[:1], split.targets))
    for given, expected in zip(arrays(adapted.output), [] if right is None else arrays(right), strict=False):
        if not _fits(given.shape[1:], expected.shape[1:]):
            raise UserError(
                f"The model gives outputs of the shape {tuple(given.shape[1:])}, the answer of {task.name} has "
                f"{tuple(expected.shape[1:])}."
            )
    return adapted


def _fits(given: Sequence[int | None], expected: Sequence[int | None]) -> bool:
    """Whether a model's sides are those of the task. The model may leave some open, where they may be any."""
    return len(given) == len(expected) and all(a is None or a == b for a, b in zip(given, expected, strict=True))
