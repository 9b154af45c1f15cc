"""Candidates: the logged models of a task, what evaluation found out about them, and their registered versions."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from registry.store import retried_once
from tasks.contract import Scores, Task, UserError

# Tags of a logged model.
TASK_TAG = "task"
EVALUATION_TAG = "evaluation_run"  # id of the run that scored it on the test split
WEIGHTS_TAG = "weights_digest"
# Of a run: the one that has the model.
LAUNCHED_TAG = "launched_run"  # `mlflow run` opened it, the step has its own
REUSED_TAG = "reused_run"  # it stands for an equal one in a study
# Tags of a registered version.
REHEARSAL_TAG = "rehearsal"  # what it measured, or FAILED or UNDECIDED and the reason
GATE_TAG = "gate"  # the verdict in words
REFUSED_TAG = "refused_against"  # the champion that it was found worse than
FAILED = "failed: "
UNDECIDED = "undecided: "
# Of an evaluation run.
PREDICTIONS_FILE = "predictions.parquet"  # artifact, one row an example
PREDICTIONS_DIGEST_PARAM = "predictions_digest"  # its SHA-256


class NoSuchModelError(UserError):
    """There is no model of that name."""


@dataclass(frozen=True)
class Candidate:
    """A logged model that may become the champion.

    Attributes:
        model_id: Of the logged model.
        name: What people know it by, e.g. "cnn, seed 1".
        run_id: The run that trained it.
        weights: Digest of its weights, None when it was logged without one.
        metrics: Its metrics by name with the split, e.g. "val_accuracy"; the latest of each.
        evaluation_run: The run that evaluated it, None when none did.
    """

    model_id: str
    name: str
    run_id: str
    weights: str | None
    metrics: dict[str, float]
    evaluation_run: str | None

    @property
    def uri(self) -> str:
        return f"models:/{self.model_id}"


def models_of(client: MlflowClient, task: Task) -> list[Candidate]:
    """All finished models of the task, newest first, in whichever experiment their runs are."""
    experiments = [experiment.experiment_id for experiment in mlflow.search_experiments()]
    found: list[LoggedModel] = []
    token = None
    while True:
        page = client.search_logged_models(
            experiments,
            filter_string=f"tags.{TASK_TAG} = '{task.name}'",
            order_by=[{"field_name": "creation_timestamp", "ascending": False}],
            page_token=token,
        )
        found += page
        if not (token := page.token):
            return [_candidate(model) for model in found if model.status == LoggedModelStatus.READY]


def find(client: MlflowClient, task: Task, uri: str) -> Candidate:
    """The model behind a URI: `models:/<model id>`, `models:/<name>/<version>`, `models:/<name>@<alias>`,
    `runs:/<run id>`, `runs:/<run id>/model`, a bare run id or model id, or "latest".

    Raises:
        NoSuchModelError: There is no such model.
        UserError: It belongs to another task, or was not made by `train`.
    """
    if uri == "latest":
        models = models_of(client, task)
        if not models:
            raise UserError(
                f"{task.name} has no trained model yet. Train one first: mlflow run . -e train -P task={task.name}"
            )
        return models[0]
    try:
        model = client.get_logged_model(_model_id(client, uri))
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise  # the store is at fault, not the URI
        raise NoSuchModelError(f"There is no model {uri!r}: {str(error.message).splitlines()[0]}") from error
    if (owner := model.tags.get(TASK_TAG)) != task.name:
        raise UserError(
            f"Expected a model of the task {task.name}, but {uri!r} is one of {owner or 'another project'}."
        )
    return _candidate(model)


def best(task: Task, candidates: list[Candidate]) -> Candidate:
    """The evaluated candidate with the best primary metric on the validation split; the newest of equals.

    Args:
        task: Names the metric.
        candidates: Newest first.

    Raises:
        UserError: None of them was evaluated.
    """
    metric = f"val_{task.primary.name}"
    ready = [candidate for candidate in candidates if candidate.evaluation_run and metric in candidate.metrics]
    if not ready:
        raise UserError(
            f"{task.name} has no evaluated candidate. Evaluate one first: mlflow run . -e evaluate -P task={task.name} "
            "(one that was rolled back, refused or broken has to be named by model_uri)"
        )
    return max(ready, key=lambda candidate: task.primary.sign * candidate.metrics[metric])


def models_of_versions(client: MlflowClient, task: Task, wanted: Callable[[ModelVersion], bool]) -> set[str]:
    """The ids of the logged models behind the registered versions that are wanted."""
    versions = client.search_model_versions(f"name = '{task.name}'")
    return {str(version.source).removeprefix("models:/") for version in versions if wanted(version)}


def was_refused(version: ModelVersion, champion: str | None) -> bool:
    """Whether a version failed its rehearsal, or was refused against this champion before."""
    failed: bool = version.tags.get(REHEARSAL_TAG, "").startswith(FAILED)
    return failed or (champion is not None and version.tags.get(REFUSED_TAG) == champion)


def scores(client: MlflowClient, candidate: Candidate) -> tuple[Scores, str] | None:
    """The candidate's scores on the test split, and the digest of that split.

    None where there are none to be had: never evaluated, the evaluation's run is gone for good, or its file of
    predictions is not the one that it logged.
    """
    if candidate.evaluation_run is None:
        return None
    try:
        run = client.get_run(candidate.evaluation_run)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(client.download_artifacts(candidate.evaluation_run, PREDICTIONS_FILE, folder))
            # Evaluations by earlier code kept no digest.
            if run.data.params.get(PREDICTIONS_DIGEST_PARAM, digest := file_digest(file)) != digest:
                return None
            table = pd.read_parquet(file)
    except (MlflowException, OSError):
        return None
    columns = {str(name): table[name].to_numpy() for name in table.columns if name not in ("score", "slice")}
    result = Scores(table["score"].to_numpy(), table["slice"].to_numpy(dtype=str), columns)
    return result, run.data.params["data.test_digest"]


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def register(client: MlflowClient, task: Task, candidate: Candidate) -> ModelVersion:
    """The registered version of the candidate, created when there is none. One candidate never has two."""
    if existing := version_of(client, task, candidate.model_id):
        return existing
    with contextlib.redirect_stderr(io.StringIO()):  # it tells of its every step
        created = mlflow.register_model(candidate.uri, task.name)
    # Versions are numbered in the order they are stored: whoever of several at once was first has the lowest.
    first = version_of(client, task, candidate.model_id)
    if first is not None and int(first.version) < int(created.version):
        client.delete_model_version(task.name, created.version)
        return first
    return created


def version_of(client: MlflowClient, task: Task, model_id: str) -> ModelVersion | None:
    """The lowest registered version of a logged model."""
    versions = [v for v in client.search_model_versions(f"name = '{task.name}'") if v.source == f"models:/{model_id}"]
    return min(versions, key=lambda version: int(version.version), default=None)


def named_version(client: MlflowClient, uri: str) -> ModelVersion | None:
    """The registered version that `models:/<name>/<version>` or `models:/<name>@<alias>` names; None for other URIs."""
    scheme, _, path = uri.rpartition(":/")
    path = path.lstrip("/")
    if scheme in ("", "runs"):
        return None
    if "@" in path:
        return client.get_model_version_by_alias(*path.split("@", 1))
    return client.get_model_version(*path.split("/", 1)) if "/" in path else None


def annotate(client: MlflowClient, version: ModelVersion, key: str, value: str) -> None:
    """Sets a tag of a registered version."""
    retried_once(client.set_model_version_tag, version.name, str(version.version), key, value)


def model_id_of(version: ModelVersion) -> str:
    """The id of the logged model that a version was made from.

    Raises:
        UserError: It was made from something else.
    """
    scheme, _, model_id = str(version.source).partition(":/")
    if scheme != "models" or not model_id.startswith("m-"):
        raise UserError(
            f"Version {version.version} of {version.name} was not made from a logged model: {version.source}."
        )
    return model_id


def _candidate(model: LoggedModel) -> Candidate:
    return Candidate(
        model_id=model.model_id,
        name=f"{model.name}, seed {seed}" if (seed := (model.params or {}).get("seed")) else model.name,
        run_id=model.source_run_id or "",
        weights=model.tags.get(WEIGHTS_TAG),
        metrics={
            metric.key: metric.value for metric in sorted(model.metrics or [], key=lambda m: (m.timestamp, m.step))
        },
        evaluation_run=model.tags.get(EVALUATION_TAG),
    )


def _model_id(client: MlflowClient, uri: str) -> str:
    scheme, _, rest = uri.rpartition(":/")
    if scheme == "runs" or (not scheme and not rest.startswith("m-")):
        run_id = rest.lstrip("/").split("/")[0]
        run = client.get_run(run_id)
        for tag in (LAUNCHED_TAG, REUSED_TAG):
            if other := run.data.tags.get(tag):
                run = client.get_run(other)
        outputs = run.outputs
        if not outputs or not outputs.model_outputs:
            raise UserError(f"The run {run_id} logged no model; name a run of train.")
        model_id: str = outputs.model_outputs[-1].model_id
        return model_id
    if (version := named_version(client, uri)) is not None:
        return model_id_of(version)
    return rest.lstrip("/")
