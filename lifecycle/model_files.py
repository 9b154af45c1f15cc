"""The files of a logged model, fetched from the store and checked against the manifest that `train` kept of them."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from lifecycle.outside import MOST_CHARACTERS
from serving.manifest import difference, digest_of, manifest_of
from serving.rehearsal import RehearsalError
from tasks.contract import UserError, one_line

logger = logging.getLogger(__name__)

# A parameter of the logged model: unlike a tag it is written once, and nobody changes it afterwards.
MANIFEST_PARAM = "files_sha256"


@dataclass(frozen=True)
class ModelFiles:
    """A model's folder on this machine, and the digest of its manifest."""

    path: Path
    digest: str


def keep_manifest(client: MlflowClient, model_id: str) -> None:
    """Keeps the manifest of a model that was just logged, of the files as the store has them."""
    with tempfile.TemporaryDirectory() as folder:
        _keep(client, model_id, manifest_of(_download(client, model_id, f"models:/{model_id}", folder)))


def fetch(
    client: MlflowClient, model_id: str, folder: str, version: ModelVersion | None = None, keep: bool = False
) -> ModelFiles:
    """Downloads a model into the empty `folder` and checks that its files are those that were logged.

    Args:
        client: Of the tracking store.
        model_id: Of the logged model.
        folder: Where its files come to lie.
        version: The registered version of it that is asked for; MLflow notes that beside the files.
        keep: Whether a model that was logged without a manifest gets one of its present files.

    Raises:
        RehearsalError: A file is missing, has changed, or was added.
        UserError: The store does not give the files at the moment.
    """
    uri = f"models:/{version.name}/{version.version}" if version else f"models:/{model_id}"
    path = _download(client, model_id, uri, folder)
    found, kept = manifest_of(path), _kept(client, model_id)
    if kept is None:
        logger.warning("%s was logged without digests of its files, so nobody can tell whether they have changed.", uri)
        if keep:
            _keep(client, model_id, found)
    elif problem := difference(found, kept):
        raise RehearsalError(f"{uri} is not what was logged: {problem}. Train again, or restore the file")
    return ModelFiles(path, digest_of(found))


def _kept(client: MlflowClient, model_id: str) -> dict[str, str] | None:
    text = (client.get_logged_model(model_id).params or {}).get(MANIFEST_PARAM)
    return json.loads(text) if text else None


def _keep(client: MlflowClient, model_id: str, manifest: dict[str, str]) -> None:
    try:
        client.log_model_params(model_id, {MANIFEST_PARAM: json.dumps(manifest)})
    except MlflowException:
        if _kept(client, model_id) is None:  # else another process was faster
            raise


def _download(client: MlflowClient, model_id: str, uri: str, folder: str) -> Path:
    try:
        path = Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder))
    except (MlflowException, OSError) as error:
        if not client.list_logged_model_artifacts(model_id):
            raise RehearsalError(f"the files of {uri} are gone. Train again, or restore them") from error
        reason = one_line(error)[:MOST_CHARACTERS].rstrip(".")  # MLflow names every file
        raise UserError(
            f"The files of {uri} cannot be read: {reason}. See whether the artifact store answers, and try again."
        ) from error
    # Python leaves bytecode beside a model's code where that was run in the store's own folder. It is no part of the
    # model, and would be run in place of the code.
    for compiled in list(path.rglob("__pycache__")):
        shutil.rmtree(compiled)
    return path
