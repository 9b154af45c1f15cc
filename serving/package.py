"""Packs a trained Keras model into the files that a registered model consists of."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as in served/session.py

import numpy as np

from forms.answer import deciles
from serving.manifest import digest_of, manifest_of
from tasks.contract import Split, Task

if TYPE_CHECKING:
    import keras

SERVED = Path(__file__).parents[1] / "served"
ENTRY = '''"""The served model. Its code stands beside it, in a folder whose name has the digest of what is in it."""

from mlflow.models import set_model

from {name}.model import OnnxModel

set_model(OnnxModel())
'''
# What `mlflow models build-docker` installs: the imports of served/, and what makes MLflow's server faster by being
# there. No TensorFlow. There is no uvloop for Windows: a model that was trained there does without.
IMPORTED = ("mlflow", "numpy", "onnxruntime", "pillow", "prometheus-client", "pyyaml", "httptools")
UVLOOP = () if sys.platform == "win32" else (f'uvloop=={version("uvloop")}; sys_platform != "win32"',)
REQUIREMENTS = (*(f"{name}=={version(name)}" for name in IMPORTED), *UVLOOP)
METADATA_VERSION = 2  # of what `package` writes; 1 had `presentation` for item and answer


@dataclass(frozen=True)
class Package:
    """Files to log with the model, and how well they agree with the Keras model they come from.

    Attributes:
        folder: Where it was written.
        code: Name of the folder there with the code that answers.
        artifacts: Paths by the names that served/model.py and people know them under.
        outputs: The served outputs for the validation split.
        parity: Largest absolute difference between the ONNX and the Keras outputs on the validation split.
        metadata: What those who serve the model have to know of it.
    """

    folder: Path
    code: str
    artifacts: dict[str, str]
    metadata: dict[str, Any]
    outputs: np.ndarray
    parity: float

    def write(self, how: Callable[..., Any], **arguments: Any) -> Any:
        """Calls MLflow's `log_model` or `save_model`, with these arguments more, and gives what it gives."""
        with _on_the_path(self.folder):  # MLflow runs model.py before it has put the code beside it
            return how(
                python_model=str(self.folder / "model.py"),
                code_paths=[str(self.folder / self.code)],
                artifacts=self.artifacts,
                pip_requirements=list(REQUIREMENTS),
                metadata=self.metadata,
                **arguments,
            )


def package(task: Task, model: keras.Model, validation: Split, folder: Path) -> Package:
    """Writes model.onnx, model.keras, golden.json, profile.json and the code that answers into `folder`."""
    expected = model.predict(validation.inputs, batch_size=512, verbose=0)
    model.export(folder / "model.onnx", format="onnx", verbose=False)
    outputs = run_onnx(folder / "model.onnx", validation.inputs)
    model.save(folder / "model.keras")
    (folder / "golden.json").write_text(json.dumps(golden(task, model, validation.inputs)))
    (folder / "profile.json").write_text(json.dumps(profile(task, validation, outputs), indent=2))
    files = {"onnx": "model.onnx", "keras": "model.keras", "golden": "golden.json", "profile": "profile.json"}
    return Package(
        folder=folder,
        code=write_code(folder),
        artifacts={name: str(folder / file) for name, file in files.items()},
        metadata={
            "version": METADATA_VERSION,
            "task": task.name,
            "item": task.item.metadata(),
            "item_shape": list(task.item.shape(validation.inputs)),
            "item_type": validation.inputs.dtype.name,
            "answer": task.answer.metadata(),
            "weights_digest": weights_digest(model),
        },
        outputs=task.answer.served(outputs),
        parity=float(np.abs(outputs - expected).max()),
    )


def write_code(folder: Path) -> str:
    """Writes model.py and the code that it runs into `folder`; gives the name of that code's own folder.

    MLflow puts a model's folder of code on the path of the process that loads it, so two versions with modules of one
    name would share whichever came first.
    """
    copy = shutil.copytree(SERVED, folder / "served", ignore=shutil.ignore_patterns("__pycache__"))
    name = f"served_{digest_of(manifest_of(copy))[:12]}"
    copy.rename(folder / name)
    (folder / "model.py").write_text(ENTRY.format(name=name), encoding="utf-8")
    return name


@contextlib.contextmanager
def _on_the_path(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


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
