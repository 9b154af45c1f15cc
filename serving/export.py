"""A Keras model as an ONNX file. The conversion needs TensorFlow; a model of another backend is converted in a process
of its own: `python -m serving.export <.keras file> <.onnx file> <module of a layer> ...`."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from served.windows import WHOLE, WINDOWS
from tasks.contract import UserError, one_line

if TYPE_CHECKING:
    import keras

ROOT = Path(__file__).parents[1]
SEES_WHOLE = "whole"  # the name of a layer that sees the whole of an item, also where that is larger than a window
# What ONNX Runtime reports of an operation that it does not have, and where it stands in the graph.
MISSING = re.compile(r'In Node, \("(?P<node>[^"]*)", (?P<operation>\w+)')
ADVICE = {"Erfc": "The exact gelu needs it; keras.activations.gelu with approximate=True does not."}


class ExportError(UserError):
    """A model cannot be exported.

    Args:
        reason: Why, in sentences.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"The model cannot be exported. {reason}")
        self.reason = reason


def export(model: keras.Model, path: Path) -> None:
    """Writes the graph that answers: layers that only vary examples in training do nothing in it.

    Raises:
        ExportError: There is no such graph.
    """
    import keras

    try:
        if keras.backend.backend() == "tensorflow":
            _convert(model, path)
        else:
            _convert_elsewhere(model, path)
        _check(path)
    except ExportError:
        raise
    except Exception as error:  # of Keras, TensorFlow, tf2onnx or ONNX Runtime, which have no common class
        raise ExportError(_reason(model, error)) from error


def export_windows(model: keras.Model, folder: Path) -> list[Path]:
    """Writes the two graphs that an item goes through which is larger than a window: up to the layer named SEES_WHOLE,
    and what follows it. Gives their files; none where there is no such layer: windows go through the whole model then.

    Raises:
        ExportError: What follows that layer needs something from before it.
    """
    import keras

    if all(layer.name != SEES_WHOLE for layer in model.layers):
        return []
    whole = model.get_layer(SEES_WHOLE).output
    try:
        parts = {WHOLE: keras.Model(model.inputs, whole), WINDOWS: keras.Model(whole, model.output)}
    except ValueError:
        raise ExportError(
            f"What follows the layer {SEES_WHOLE!r} needs something else from before it; give it nothing but what that "
            "layer gives."
        ) from None
    for name, part in parts.items():
        export(part, folder / name)
    return [folder / name for name in parts]


def _convert(model: keras.Model, path: Path) -> None:
    import keras

    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # what is wrong is told once
    if not hasattr(model, "inputs"):
        raise ExportError(
            "Keras does not know its inputs before it is called. Make it of keras.Input and keras.Model, or of "
            "keras.Sequential."
        )
    if len(model.inputs) != 1:
        names = ", ".join(one.name for one in model.inputs)
        raise ExportError(f"It has the inputs {names}, and models of one input are served.")
    (known,) = model.inputs
    items = keras.Input(batch_shape=known.shape, dtype=known.dtype, name=known.name)
    # Left to itself, Keras exports layers such as RandomFlip as they are in training.
    answering = keras.Model(items, model(items, training=False))
    taken = keras.InputSpec(shape=items.shape, dtype=items.dtype, name=items.name)
    with _constants(model):
        answering.export(path, format="onnx", verbose=False, input_signature=[taken])


@contextlib.contextmanager
def _constants(model: keras.Model) -> Iterator[None]:
    """Inside, tensors that layers keep are arrays. The conversion takes an array for a constant, and such a tensor, as
    the mean that a Normalization layer has learnt, for one more input of the graph."""
    import tensorflow as tf

    kept = [
        (layer, name, value)
        for layer in model._flatten_layers()
        for name, value in vars(layer).items()
        if isinstance(value, tf.Tensor)
    ]
    for layer, name, value in kept:
        setattr(layer, name, value.numpy())
    try:
        yield
    finally:
        for layer, name, value in kept:
            setattr(layer, name, value)


def _convert_elsewhere(model: keras.Model, path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.keras")
        model.save(file)
        modules = sorted({type(layer).__module__ for layer in model._flatten_layers()})
        command = [sys.executable, "-m", "serving.export", str(file), str(path.resolve())]
        child = subprocess.run(
            [*command, *(name for name in modules if not name.startswith("keras."))],
            cwd=ROOT,
            env=os.environ | {"KERAS_BACKEND": "tensorflow"},
            capture_output=True,
            text=True,
            check=False,
        )
    if child.returncode:
        raise ExportError((child.stderr.splitlines() or ["The process that converts it was killed."])[-1])


def _check(path: Path) -> None:
    """Sees to it that ONNX Runtime knows all of it, and that it needs nothing but items."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    if len(session.get_inputs()) != 1:
        raise ExportError(
            "It uses a tensor that is neither a weight nor an attribute of a layer; make a numpy array of it, which "
            "becomes a part of the graph."
        )


def _reason(model: keras.Model, error: Exception) -> str:
    if not (missing := MISSING.search(str(error))):
        return f"{type(error).__name__}: {one_line(error)}"
    operation = missing["operation"]
    where = f"Its layer {name!r}" if (name := _layer(model, missing["node"])) else "It"
    advice = f" {ADVICE[operation]}" if operation in ADVICE else ""
    return f"{where} needs the operation {operation}, which ONNX Runtime does not have.{advice}"


def _layer(model: keras.Model, node: str) -> str | None:
    """The layer that a node of the graph belongs to; scopes bear the names of layers, some with a number more."""
    parts = [re.sub(r"_\d+$", "", part) for part in node.split("/")] + node.split("/")
    found: list[Any] = [layer.name for layer in model._flatten_layers(include_self=False) if layer.name in parts]
    return max(found, key=lambda name: (node.rfind(name), len(name)), default=None)


def main() -> int:
    """Converts a file, and says in the last line of stderr what is wrong with it."""
    import keras

    file, path, *modules = sys.argv[1:]
    for name in modules:  # they register their layers
        importlib.import_module(name)
    try:
        export(keras.saving.load_model(file, compile=False), Path(path))
    except ExportError as error:
        print(error.reason, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
