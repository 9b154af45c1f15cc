"""Build the container of a registered model: slim, or as `mlflow models build-docker` makes it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from lifecycle import runs
from lifecycle.errors import StepError
from lifecycle.model_files import fetch
from registry.candidates import find, model_id_of, named_version, version_of
from registry.card import describe
from registry.ledger import ALIAS, champion
from serving.container import MODEL_FOLDER, slim_context
from serving.rehearsal import RehearsalError
from tasks.contract import Task, UserError, how_to_run, unknown

VARIANTS = ("slim", "mlflow")
MLFLOW = (sys.executable, "-m", "mlflow", "models")
# The other environment managers put Ubuntu, pyenv and a JDK into the image, or fail in it.
LOCAL = ("--env-manager", "local")


def build(task: Task, model_uri: str, variant: str, image: str) -> str:
    """Builds the image, tags it with the model's version and `latest`, and gives its name with the version.

    Args:
        task: Whose model it is.
        model_uri: `models:/<name>/<version>` or `models:/<name>@<alias>`; "champion" for the task's.
        variant: One of VARIANTS.
        image: Name of the image without a tag; empty for `dlc-<task>`.

    Raises:
        UserError: There is no such version or variant, Docker does not run, or the build failed.
        StepError: The version's files are not those that were logged.
    """
    if variant not in VARIANTS:
        raise UserError(unknown("variant", variant, VARIANTS))
    if ":" in image.rpartition("/")[2]:  # before a slash it is a registry's port
        raise UserError(f"image must be a name without a tag, received {image!r}; the tag is the model's version.")
    client = runs.connect()
    version = _named(client, task, model_uri)
    _check_docker()
    name = image or f"dlc-{task.name}"
    tagged = f"{name}:{version.version}"
    with tempfile.TemporaryDirectory() as context:
        folder = Path(context, MODEL_FOLDER)
        folder.mkdir()
        try:
            files = fetch(client, model_id_of(version), str(folder), version)
        except RehearsalError as error:
            raise StepError(f"{tagged} was not built: {error}.") from error
        if variant == "slim":
            card = describe(client, task, find(client, task, f"models:/{task.name}/{version.version}"))
            labels = ["--label", f"model.name={task.name}", "--label", f"model.version={version.version}"]
            _call(["docker", "build", *slim_context(Path(context), card), *labels, "--tag", tagged, context])
        else:  # what was checked, not what the store has by now
            _call([*MLFLOW, "build-docker", "--model-uri", str(files.path), *LOCAL, "--name", tagged])
    _call(["docker", "tag", tagged, f"{name}:latest"])
    print(f"Built {tagged}.")
    return tagged


def _named(client: MlflowClient, task: Task, model_uri: str) -> ModelVersion:
    """The registered version that is to be built."""
    if model_uri == "champion" and champion(client, task.name) is None:
        raise UserError(f"{task.name} has no champion yet. Promote one first: {how_to_run('promote', task=task.name)}")
    model_uri = f"models:/{task.name}@{ALIAS}" if model_uri == "champion" else model_uri
    candidate = find(client, task, model_uri)
    version = named_version(client, model_uri)
    if version is None or version.name != task.name:
        version = version_of(client, task, candidate.model_id)
    if version is None:
        raise UserError(f"{candidate.uri} is no registered version; promote it first, or name one that is.")
    return version


def _check_docker() -> None:
    if shutil.which("docker") is None:
        raise UserError("Building a container needs Docker, and there is no command `docker`.")
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:
        raise UserError("Docker does not answer. Start its engine, and look at what `docker info` says.")


def _call(command: list[str]) -> None:
    """Runs a command that shows its own progress."""
    if (code := subprocess.run(command, check=False).returncode) != 0:
        raise UserError(f"`{' '.join(command[:3])} …` failed with exit code {code}; look at what it printed above.")
