"""Packs a trained Keras model into the files that a registered model consists of."""

from __future__ import annotations

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

from forms.answer import deciles
from tasks.contract import Split, Task

if TYPE_CHECKING:
    import keras

MODEL_CODE = Path(__file__).with_name("model.py")
# What `mlflow models build-docker` installs: the imports of serving/model.py, and what makes MLflow's server faster by
# being there. No TensorFlow. There is no uvloop for Windows: a model that was trained there does without.
IMPORTED = ("mlflow", "numpy", "onnxruntime", "pillow", "prometheus-client", "pyyaml", "httptools")
UVLOOP = () if sys.platform == "win32" else (f'uvloop=={version("uvloop")}; sys_platform != "win32"',)
REQUIREMENTS = (*(f"{name}=={version(name)}" for name in IMPORTED), *UVLOOP)
METADATA_VERSION = 2  # of what `package` writes; 1 had `presentation` for item and answer


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
    files = {"onnx": "model.onnx", "keras": "model.keras", "golden": "golden.json", "profile": "profile.json"}
    return Package(
        artifacts={name: str(folder / file) for name, file in files.items()},
        metadata={
            "version": METADATA_VERSION,
            "task": task.name,
            "item": task.item.metadata(),
            "item_shape": list(task.item.shape(validation.inputs)),
            "item_type": validation.inputs.dtype.name,
            "answer": task.answer.metadata(),
        },
        outputs=task.answer.served(outputs),
        parity=float(np.abs(outputs - expected).max()),
    )


def run_onnx(path: Path, inputs: np.ndarray, batch_size: int = 512) -> np.ndarray:
    """The graph's outputs for all inputs."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    starts = range(0, len(inputs), batch_size)
    return np.concatenate([session.run(None, {name: inputs[start : start + batch_size]})[0] for start in starts])


def golden(task: Task, model: keras.Model, inputs: np.ndarray) -> dict[str, Any]:
    """Requests with their right answers, as the Keras model gives them, in every way in which items may come. The
    examples are spread evenly over the split."""
    rows = np.linspace(0, len(inputs) - 1, min(task.answer.golden_examples, len(inputs)), dtype=int)
    requests, tolerance = [], 0.0
    for way in task.item.ways(inputs[rows]):
        served = task.answer.served(model.predict(way.items, verbose=0))
        tolerance = max(tolerance, task.answer.tolerance(served))
        requests.append({"body": {"inputs": way.sent}, "predictions": task.answer.sent(served, way.as_files)})
    return {"tolerance": tolerance, "requests": requests}


def profile(task: Task, validation: Split, outputs: np.ndarray) -> dict[str, Any]:
    """What inputs and predictions looked like, to compare served traffic with: deciles of each example's mean input
    value, and what the answer's form counts."""
    means = validation.inputs.reshape(len(validation), -1).mean(axis=1)
    inputs = {"examples": len(validation), "input_mean_deciles": deciles(means, 4)}
    return inputs | task.answer.profile(task.answer.served(outputs))


def weights_digest(model: keras.Model) -> str:
    """SHA-256 of all weights in order: two models of one architecture with the same digest are the same function."""
    hasher = hashlib.sha256()
    for weights in model.get_weights():
        hasher.update(weights.tobytes())
    return hasher.hexdigest()
