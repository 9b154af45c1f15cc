"""Packs a trained Keras model into the files that a registered model consists of."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as in serving/model.py

import numpy as np

from serving.pictures import png
from tasks.contract import Split, Task

if TYPE_CHECKING:
    import keras

MODEL_CODE = Path(__file__).with_name("model.py")
# What `mlflow models build-docker` installs: the imports of serving/model.py, and what makes MLflow's server faster by
# being there. No TensorFlow. There is no uvloop for Windows: a model that was trained there does without.
IMPORTED = ("mlflow", "numpy", "onnxruntime", "pillow", "prometheus-client", "pyyaml", "httptools")
UVLOOP = () if sys.platform == "win32" else (f'uvloop=={version("uvloop")}; sys_platform != "win32"',)
REQUIREMENTS = (*(f"{name}=={version(name)}" for name in IMPORTED), *UVLOOP)
GOLDEN_REQUESTS = 8
GOLDEN_PICTURES, GOLDEN_SIDE = 2, 64  # a picture has many values
# Keras and ONNX Runtime add floats in different orders; the difference is some 1e-6 for these networks. Of a picture's
# values, whole numbers from 0 to 255, one may so be rounded up here and down there.
TOLERANCES = {"labels": 1e-4, "picture": 1.0}


@dataclass(frozen=True)
class Package:
    """Files to log with the model, and how well they agree with the Keras model they come from.

    Attributes:
        artifacts: Paths by the names that serving/model.py and people know them under.
        outputs: The served outputs for the validation split.
        parity: Largest absolute difference between the ONNX and the Keras outputs on the validation split.
        metadata: What those who serve the model have to know of it.
    """

    artifacts: dict[str, str]
    metadata: dict[str, Any]
    outputs: np.ndarray
    parity: float

    @property
    def model(self) -> dict[str, Any]:
        """Arguments of `mlflow.pyfunc.log_model` and `save_model`."""
        return {
            "python_model": str(MODEL_CODE),
            "artifacts": self.artifacts,
            "pip_requirements": list(REQUIREMENTS),
            "metadata": self.metadata,
        }


def package(task: Task, model: keras.Model, validation: Split, folder: Path) -> Package:
    """Writes model.onnx, model.keras, golden.json and profile.json into `folder`."""
    expected = model.predict(validation.inputs, batch_size=512, verbose=0)
    model.export(folder / "model.onnx", format="onnx", verbose=False)
    outputs = run_onnx(folder / "model.onnx", validation.inputs)
    model.save(folder / "model.keras")
    (folder / "golden.json").write_text(json.dumps(golden(task, model, validation.inputs)))
    (folder / "profile.json").write_text(json.dumps(profile(task, validation, outputs), indent=2))
    any_size = task.presentation.kind == "picture"
    files = {"onnx": "model.onnx", "keras": "model.keras", "golden": "golden.json", "profile": "profile.json"}
    return Package(
        artifacts={name: str(folder / file) for name, file in files.items()},
        metadata={
            "task": task.name,
            "presentation": dataclasses.asdict(task.presentation),
            "item_shape": [None, None, 3] if any_size else list(validation.inputs.shape[1:]),
            "item_type": validation.inputs.dtype.name,
        },
        outputs=as_served(task, outputs),
        parity=float(np.abs(outputs - expected).max()),
    )


def run_onnx(path: Path, inputs: np.ndarray, batch_size: int = 512) -> np.ndarray:
    """The graph's outputs for all inputs."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    starts = range(0, len(inputs), batch_size)
    return np.concatenate([session.run(None, {name: inputs[start : start + batch_size]})[0] for start in starts])


def as_served(task: Task, outputs: np.ndarray) -> np.ndarray:
    """The outputs in the form in which serving/model.py gives them."""
    if task.presentation.kind == "picture":
        return np.rint(outputs).clip(0, 255).astype(np.uint8)
    return outputs


def golden(task: Task, model: keras.Model, inputs: np.ndarray) -> dict[str, Any]:
    """Requests with their right answers, as the Keras model gives them, in every form in which items may come. The
    examples are spread evenly over the split."""
    if task.presentation.kind == "picture":
        requests = _with_pictures(task, model, inputs[_spread(inputs, GOLDEN_PICTURES)])
    else:
        requests = _with_items(model, inputs[_spread(inputs, GOLDEN_REQUESTS)])
    return {"tolerance": TOLERANCES[task.presentation.kind], "requests": requests}


def _spread(inputs: np.ndarray, count: int) -> np.ndarray:
    return np.linspace(0, len(inputs) - 1, min(count, len(inputs)), dtype=int)


def _with_items(model: keras.Model, items: np.ndarray) -> list[dict[str, Any]]:
    """As numbers, as encoded bytes and, where the items are images, as encoded PNG files."""
    forms = [items.tolist(), [base64.b64encode(item.tobytes()).decode() for item in items]]
    if items.dtype == np.uint8 and (items.ndim == 3 or items.shape[3:] == (3,)):
        forms.append([png(item) for item in items])
    predictions = model.predict(items, verbose=0).tolist()
    return [{"body": {"inputs": form}, "predictions": predictions} for form in forms]


def _with_pictures(task: Task, model: keras.Model, pictures: np.ndarray) -> list[dict[str, Any]]:
    """As numbers, of which a corner has enough, and as encoded PNG files."""
    corners = pictures[:, :GOLDEN_SIDE, :GOLDEN_SIDE]
    made, small = (as_served(task, model.predict(items, verbose=0)) for items in (pictures, corners))
    files, expected = ([png(picture) for picture in array] for array in (pictures, made))
    return [
        {"body": {"inputs": corners.tolist()}, "predictions": small.tolist()},
        {"body": {"inputs": files}, "predictions": expected},
    ]


def profile(task: Task, validation: Split, outputs: np.ndarray) -> dict[str, Any]:
    """What inputs and predictions looked like, to compare served traffic with: deciles of each example's mean input
    value, and how often each label was predicted with which confidence, or deciles of each picture's mean value."""
    result: dict[str, Any] = {"examples": len(validation), "input_mean_deciles": _deciles(_means(validation.inputs), 4)}
    if task.presentation.kind == "picture":
        return result | {"output_mean_deciles": _deciles(_means(outputs), 4)}
    counts = np.bincount(outputs.argmax(axis=1), minlength=len(task.presentation.labels))
    return result | {
        "confidence_deciles": _deciles(outputs.max(axis=1), 6),
        "predicted": dict(zip(task.presentation.labels, counts.tolist(), strict=True)),
    }


def _means(values: np.ndarray) -> np.ndarray:
    """Of each example."""
    return values.reshape(len(values), -1).mean(axis=1)


def _deciles(values: np.ndarray, digits: int) -> list[float]:
    result: list[float] = np.quantile(values, np.linspace(0, 1, 11)).round(digits).tolist()
    return result


def weights_digest(model: keras.Model) -> str:
    """SHA-256 of all weights in order: two models of one architecture with the same digest are the same function."""
    hasher = hashlib.sha256()
    for weights in model.get_weights():
        hasher.update(weights.tobytes())
    return hasher.hexdigest()
