"""Packs a trained Keras model into the files that a registered model consists of."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as in served/session.py

import numpy as np
from mlflow.models import ModelSignature
from mlflow.models.model import MLMODEL_FILE_NAME, Model
from mlflow.pyfunc import save_model

from forms.outputs import Outputs, arrays, batches_of, each
from served.session import HIDDEN
from serving.export import export, export_windows
from serving.hidden import expose_hidden
from serving.manifest import digest_of, manifest_of
from serving.signature import example_of, signature_of
from tasks.contract import Split, Task, UserError, answered, batches

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
REQUIREMENTS = (*(f"{name}=={version(name)}" for name in IMPORTED), *UVLOOP)  # of every model
METADATA_VERSION = 2  # of what `package` writes; 1 had `presentation` for item and answer


@dataclass(frozen=True)
class Package:
    """Files to log with the model, and how well they agree with the Keras model they come from.

    Attributes:
        folder: Where it was written.
        code: Name of the folder there with the code that answers.
        artifacts: Paths by the names that served/model.py and people know them under.
        config: How answers are given, where neither who loads the model nor a request asks for another way.
        signature: What the model takes and gives.
        example: One item, as it may be passed in Python.
        backend: What Keras computed with.
        outputs: The served outputs for the validation split, by name where there are several.
        parity: Largest absolute difference between the ONNX and the Keras outputs on the validation split.
        metadata: What those who serve the model have to know of it.
        requirements: What has to be installed where it is served.
    """

    folder: Path
    code: str
    artifacts: dict[str, str]
    metadata: dict[str, Any]
    requirements: list[str]
    config: dict[str, bool]
    signature: ModelSignature
    example: Any
    backend: str
    outputs: Outputs
    parity: float

    def save_model(self, path: Path | str, mlflow_model: Model | None = None, **_: Any) -> None:
        """Saves the model as the modules of MLflow's flavors do, in whose place `mlflow.models.Model.log` takes a
        package.

        It is there as a Keras and as an ONNX model, too, over the same files.

        Args:
            path: Where to.
            mlflow_model: What MLflow knows of the model already.
            **_: What else is said to `Model.log`, which passes it on.
        """
        model = mlflow_model or Model()
        with _on_the_path(self.folder):  # MLflow runs model.py before it has put the code beside it
            save_model(
                path=path,
                mlflow_model=model,
                python_model=str(self.folder / "model.py"),
                code_paths=[str(self.folder / self.code)],
                artifacts=self.artifacts,
                pip_requirements=self.requirements,
                metadata=self.metadata,
                model_config=self.config,
                signature=self.signature,
                input_example=self.example,
            )
        backend = {"keras_version": version("keras"), "keras_backend": self.backend}
        model.add_flavor("keras", data="artifacts/model", save_exported_model=False, **backend)
        onnx = {"onnx_version": version("onnx"), "providers": ["CPUExecutionProvider"], "onnx_session_options": None}
        model.add_flavor("onnx", data="artifacts/model.onnx", code=None, **onnx)
        model.signature._is_signature_from_type_hint = True  # what that is for: served/protocol.py
        model.save(str(Path(path, MLMODEL_FILE_NAME)))


def package(task: Task, model: keras.Model, validation: Split, folder: Path) -> Package:
    """Writes model.onnx, model.keras, golden.json and the code that answers into `folder`.

    Raises:
        ExportError: The model cannot be exported.
    """
    import keras

    def predicted(part: np.ndarray) -> Outputs:
        outputs = model.predict(part, batch_size=512, verbose=0)
        check_outputs(task, outputs)
        return outputs

    # Keras takes long to begin, so it gets as much at once as may be in memory.
    expected = answered(validation.inputs, predicted, most=len(validation))
    export(model, folder / "model.onnx")
    if None not in task.item.shape(validation.inputs):
        expose_hidden(folder / "model.onnx", next(iter([*task.answer.counted, *task.answer.named, ""])))
    outputs = run_onnx(folder / "model.onnx", validation.inputs)
    check_values(task, outputs)
    served = task.answer.served(outputs)
    model.save(folder / "model.keras")
    (folder / "golden.json").write_text(json.dumps(golden(task, model, validation.inputs)))
    files = {"onnx": "model.onnx", "keras": "model.keras", "golden": "golden.json"}
    if task.item.window:
        files |= {path.stem: path.name for path in export_windows(model, folder)}
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
        requirements=[*REQUIREMENTS, *(f"{name}=={version(name)}" for name in task.item.packages)],
        config=dict(task.answer.params),
        signature=signature_of(task.item, task.answer, validation.inputs, folder / "model.onnx", served),
        example=example_of(task.item, validation.inputs),
        backend=keras.backend.backend(),
        outputs=served,
        parity=parity(outputs, expected),
    )


def parity(outputs: Outputs, expected: Outputs) -> float:
    """The largest absolute difference between two models' outputs for the same items."""
    pairs = zip(batches_of(outputs), batches_of(expected), strict=True)
    return max(float(np.abs(one).max()) for pair in pairs for one in arrays(each(np.subtract, *pair)))


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


def check_outputs(task: Task, outputs: Any) -> None:
    """Sees to it that every output of a model has its place in the task's answer: nobody would see the others.

    Args:
        outputs: As Keras has them: a tensor or an array, a dictionary of these, or a list.

    Raises:
        UserError: One has none, or the answer names one that is not there.
    """
    expected = sorted(task.answer.named) or "one output without a name"
    given: Any = "one output without a name"
    if isinstance(outputs, dict):
        given = sorted(outputs)
    elif isinstance(outputs, list | tuple):
        given = f"{len(outputs)} outputs without names"
    if given != expected:
        raise UserError(
            f"The model of {task.name} has {given}, its answer names {expected}. Name outputs with "
            'keras.Model(inputs, {"name": ...}), and their forms with answer=Several({"name": ...}).'
        )


def check_values(task: Task, outputs: Outputs) -> None:
    """Sees to it that what a model gives can be the task's answers.

    Args:
        outputs: For some items (N, ...), as the graph gives them.

    Raises:
        UserError: They cannot.
    """
    for batch in batches_of(outputs):
        if problem := task.answer.problem(batch):
            raise UserError(f"The model does not give the answers of {task.name}: {problem}.")


def run_onnx(path: Path, inputs: Any, hidden: bool = False) -> Outputs:
    """The graph's outputs for all inputs; by name where there are several.

    Args:
        path: Of the graph.
        inputs: An array or items.
        hidden: Whether the last hidden layer is one of them, where the graph gives it.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    names = [output.name for output in session.get_outputs() if hidden or output.name != HIDDEN]

    def run(batch: np.ndarray) -> Outputs:
        outputs = session.run(names, {name: batch})
        return dict(zip(names, outputs, strict=True)) if len(names) > 1 else outputs[0]

    return answered(inputs, run)


def golden(task: Task, model: keras.Model, inputs: Any) -> dict[str, Any]:
    """Requests with their right answers, as the Keras model gives them, in every way in which items may come. The
    examples are spread evenly over the split; where they are of different shapes, over those of the commonest."""
    alike = max(batches(inputs, len(inputs)), key=len)
    rows = alike[np.linspace(0, len(alike) - 1, min(task.answer.golden_examples, len(alike)), dtype=int)]
    requests, tolerances = [], []
    for way in task.item.ways(inputs[rows]):
        served = task.answer.served(model.predict(way.items, verbose=0))
        tolerances.append(task.answer.tolerance(served))
        answers = task.answer.sent(served, way.as_files)
        requests.append({"way": way.name, "body": {"inputs": way.sent}, "predictions": answers})
    tolerance = each(lambda *ways: max(ways), *tolerances)
    return {"tolerance": tolerance, "requests": requests, "largest": task.item.largest()}


def weights_digest(model: keras.Model) -> str:
    """SHA-256 of all weights in order: two models of one architecture with the same digest are the same function."""
    hasher = hashlib.sha256()
    for weights in model.get_weights():
        hasher.update(weights.tobytes())
    return hasher.hexdigest()
