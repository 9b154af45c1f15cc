"""Candidates: the logged models of a task, what evaluation found out about them, and their registered versions."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from registry.store import paged, retried_once
from tasks.contract import Scores, Task, UserError, how_to_run

# Tags of a logged model.
TASK_TAG = "task"
EVALUATION_TAG = "evaluation_run"  # id of the run that scored it on the test split
WEIGHTS_TAG = "weights_digest"
# Metric of a logged model and of its run: the store counts versions, but not models, and clocks are set back.
NUMBER_METRIC = "model_number"
NEWEST_FIRST = (
    {"field_name": f"metrics.{NUMBER_METRIC}", "ascending": False},  # models without a number come last
    {"field_name": "creation_timestamp", "ascending": False},
)
PAGE_SIZE = 100  # models
MOST_VERSIONS = 2**31 - 1  # what a version's column holds in every database; beyond it a driver fails
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
        metrics: Its metrics by name with the split, e.g. "val_accuracy". Of several values the one of `evaluation_run`
            counts, else the latest.
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
    return list(_models(client, task, NEWEST_FIRST, PAGE_SIZE))


def latest(client: MlflowClient, task: Task) -> Candidate | None:
    """The finished model of the task that was logged last; None where there is none."""
    return next(_models(client, task, NEWEST_FIRST, page_size=1), None)


def best_first(client: MlflowClient, task: Task, evaluated: bool = False) -> Iterator[Candidate]:
    """The finished models that have the primary metric of the validation split, the best first, the newest of equals
    first. The store is asked for as many as are taken.

    Args:
        client: Of the tracking store.
        task: Names the metric.
        evaluated: Whether to leave out what was never evaluated.
    """
    metric = f"val_{task.primary.name}"
    order = [{"field_name": f"metrics.{metric}", "ascending": not task.primary.higher_is_better}, *NEWEST_FIRST]
    condition = f" AND tags.{EVALUATION_TAG} != ''" if evaluated else ""
    # Models without the metric come last.
    return takewhile(lambda candidate: metric in candidate.metrics, _models(client, task, order, PAGE_SIZE, condition))


def next_number(client: MlflowClient, task: Task) -> int:
    """The number of the task's next model. Two that are logged at once may get the same one."""
    newest = latest(client, task)
    return 1 + int(newest.metrics.get(NUMBER_METRIC, 0)) if newest else 1


def find(client: MlflowClient, task: Task, uri: str) -> Candidate:
    """The model behind a URI: `models:/<model id>`, `models:/<name>/<version>`, `models:/<name>/latest`,
    `models:/<name>@<alias>`, `runs:/<run id>`, `runs:/<run id>/model`, a bare run id or model id, "latest" for the
    model that was logged last, or "best" for the best on the validation split, evaluated or not.

    Raises:
        NoSuchModelError: There is no such model.
        UserError: It belongs to another task, or was not made by `train`.
    """
    if uri in ("latest", "best"):
        found = latest(client, task) if uri == "latest" else next(best_first(client, task), None)
        if found is None:
            raise UserError(
                f"{task.name} has no trained model yet. Train one first: {how_to_run('train', task=task.name)}"
            )
        return found
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


def models_of_versions(client: MlflowClient, task: Task, condition: str) -> set[str]:
    """The ids of the logged models behind the registered versions that meet a condition of MLflow's filter language."""
    versions = paged(client.search_model_versions, f"name = '{task.name}' AND {condition}")
    return {str(version.source).removeprefix("models:/") for version in versions}


def refused(client: MlflowClient, task: Task, champion: str | None) -> set[str]:
    """The ids of the logged models that failed their rehearsal, or were refused against this champion before."""
    found = models_of_versions(client, task, f"tags.{REHEARSAL_TAG} LIKE '{FAILED}%'")
    if champion is not None:
        found |= models_of_versions(client, task, f"tags.{REFUSED_TAG} = '{champion}'")
    return found


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
    columns = {str(name): table[name].to_numpy() for name in table.columns}
    score, groups = columns.pop("score"), columns.pop("group", None)
    result = Scores(score, columns.pop("slice").astype(str), columns, groups)
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
    condition = f"name = '{task.name}' AND source_path = 'models:/{model_id}'"
    found = client.search_model_versions(condition, max_results=1, order_by=["version_number ASC"])
    return found[0] if found else None


def named_version(client: MlflowClient, uri: str) -> ModelVersion | None:
    """The registered version behind `models:/<name>/<version>`, `models:/<name>/latest` or `models:/<name>@<alias>`.
    None for other URIs.

    Raises:
        NoSuchModelError: The latest version is asked for, and there is none.
    """
    scheme, _, path = uri.rpartition(":/")
    path = path.lstrip("/")
    if scheme in ("", "runs"):
        return None
    if "@" in path:
        return client.get_model_version_by_alias(*path.split("@", 1))
    name, slash, which = path.partition("/")
    if which.lower() == "latest":
        return _latest_version(client, name)
    if which.isdecimal() and int(which) > MOST_VERSIONS:
        raise NoSuchModelError(f"There is no model {uri!r}: expected a version up to {MOST_VERSIONS}.")
    return client.get_model_version(name, which) if slash else None


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


def _models(
    client: MlflowClient, task: Task, order: Sequence[dict[str, Any]], page_size: int, condition: str = ""
) -> Iterator[Candidate]:
    """The finished models of the task in this order, in whichever experiment their runs are."""
    found = paged(
        client.search_logged_models,
        [experiment.experiment_id for experiment in mlflow.search_experiments()],
        filter_string=f"tags.{TASK_TAG} = '{task.name}'{condition}",
        order_by=list(order),
        max_results=page_size,
    )
    return (_candidate(model) for model in found if model.status == LoggedModelStatus.READY)


def _candidate(model: LoggedModel) -> Candidate:
    evaluation = model.tags.get(EVALUATION_TAG)
    measured = sorted(model.metrics or [], key=lambda m: (m.run_id == evaluation, m.timestamp, m.step))
    return Candidate(
        model_id=model.model_id,
        name=f"{model.name}, seed {seed}" if (seed := (model.params or {}).get("seed")) else model.name,
        run_id=model.source_run_id or "",
        weights=model.tags.get(WEIGHTS_TAG),
        metrics={metric.key: metric.value for metric in measured},
        evaluation_run=evaluation,
    )


def _latest_version(client: MlflowClient, name: str) -> ModelVersion:
    found = client.search_model_versions(f"name = '{name}'", max_results=1, order_by=["version_number DESC"])
    if not found:
        raise NoSuchModelError(f"There is no model 'models:/{name}/latest': {name} has no registered version.")
    return found[0]


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
