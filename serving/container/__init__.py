"""The slim container of a registered model: what MLflow's own server needs to answer, and nothing else."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import yaml
from packaging.utils import canonicalize_name

from serving.fence import installed, requirements
from serving.manifest import manifest_of
from serving.server import allowed_environment, free_port, running

FOLDER = Path(__file__).parent
MODEL_FOLDER = "model_dir"
FILES = (
    "Dockerfile",
    "entrypoint.py",
    "payloads.py",
    "protocol.py",
    "server.py",
    "warmup.py",
    "../manifest.py",
    "../../served/machine.py",
)
ADDED = {"httptools", "orjson"}  # what they need besides


def slim_context(context: Path, card: str) -> list[str]:
    """Puts beside a model what its slim image is built from.

    What the model's pinned requirements need in turn is installed in the versions of this environment, so that two
    builds of one model are the same.

    Args:
        context: Folder with the model in MODEL_FOLDER.
        card: The model's card, as Markdown; the server shows it.

    Returns:
        Arguments of `docker build`.
    """
    for name in FILES:
        shutil.copy(FOLDER / name, context)
    (context / "card.md").write_text(card, encoding="utf-8")
    (context / "manifest.json").write_text(json.dumps(manifest_of(context / MODEL_FOLDER), indent=2))
    # The model has pins of its own, and mlflow-skinny has mlflow's.
    pinned = {canonicalize_name(requirement.name) for requirement in requirements(context / MODEL_FOLDER)}
    free = (installed(context / MODEL_FOLDER) | ADDED) - pinned - {"mlflow-skinny", "mlflow-tracing"}
    pins = [f"{name}=={version(name)}" for name in sorted(free)]
    (context / "constraints.txt").write_text("\n".join(pins) + "\n")
    environment = yaml.safe_load((context / MODEL_FOLDER / "python_env.yaml").read_text(encoding="utf-8"))
    return ["--build-arg", f"PYTHON_VERSION={environment['python']}"]


@contextlib.contextmanager
def slim_server(model_path: Path, workers: int = 1, **environment: str) -> Iterator[int]:
    """The server of the slim image without the image, on a free loopback port; gives the port.

    Raises:
        ServerError: It ended, or was not ready in time.
    """
    port = free_port()
    variables = {
        "__pyfunc_model_path__": str(model_path),
        "MLFLOW_MODELS_WORKERS": str(workers),
        "UVICORN_HOST": "127.0.0.1",
        "UVICORN_PORT": str(port),
        "UVICORN_ACCESS_LOG": "false",
    }
    command = [sys.executable, str(FOLDER / "entrypoint.py")]
    with (
        tempfile.TemporaryDirectory() as home,
        running(command, port, inherited=allowed_environment(home), **variables, **environment),
    ):
        yield port
