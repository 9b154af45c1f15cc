"""Versions of the libraries that decide how a model turns out, and which of them Keras computes with."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tasks.contract import UserError

BACKENDS = ("tensorflow", "jax", "torch")
PACKAGES = ("mlflow", "tensorflow", "keras", "numpy", "scipy", "scikit-learn", "onnx", "tf2onnx", "onnxruntime")


def libraries() -> dict[str, str]:
    """Versions of Python and of what decides how a model turns out, and which of them Keras computes with.

    Raises:
        UserError: Keras is told to compute with what is not installed, or cannot train.
    """
    backend = _backend()
    if backend not in BACKENDS:
        raise UserError(f"Keras cannot train with {backend}. Set KERAS_BACKEND to {', '.join(BACKENDS)}, or unset it.")
    found = {name: version(name) for name in PACKAGES}
    if backend not in found:
        try:
            found[backend] = version(backend)
        except PackageNotFoundError as error:
            raise UserError(
                f"Keras is told to compute with {backend}, which is not installed. Install it, or set "
                "KERAS_BACKEND=tensorflow."
            ) from error
    return {"python": platform.python_version(), "backend": backend} | found


def _backend() -> str:
    """What Keras will compute with: the variable, else its file of settings, says so. Keras takes seconds to import."""
    if chosen := os.environ.get("KERAS_BACKEND"):
        return chosen
    settings = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras", "keras.json")
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # Keras then takes its default, too
        return str(json.loads(settings.read_text(encoding="utf-8"))["backend"])
    return "tensorflow"
