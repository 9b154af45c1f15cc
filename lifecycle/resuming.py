"""Going on with a training that stopped before its end, so that it ends with the weights of one that did not."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from lifecycle import runs
from registry.candidates import LAUNCHED_TAG
from tasks.contract import Config, Split, Task, UserError, one_line

logger = logging.getLogger(__name__)

CONFIG_FILE = "config.json"


@dataclass(frozen=True)
class Interrupted:
    """A train run that stopped before its end, and what is needed to go on from there."""

    run: Run
    config: Config
    epochs_done: int
    checkpoint: str


def find_interrupted(client: MlflowClient, task: Task, run_id: str) -> Interrupted:
    """The run to continue.

    Raises:
        UserError: There is no such run, it is no unfinished train run of the task, or it has no checkpoint.
    """
    try:
        run = client.get_run(run_id)
        run = client.get_run(run.data.tags.get(LAUNCHED_TAG, run_id))
    except MlflowException as error:
        raise UserError(f"There is no run {run_id!r} to resume: {error.message.splitlines()[0]}") from error
    if run.data.tags.get("step") != "train" or run.data.tags.get("task") != task.name:
        raise UserError(f"Expected a train run of {task.name} to resume, but {run_id} is not one.")
    if run.info.status == "FINISHED":
        raise UserError(f"Run {run_id} has finished, there is nothing to resume.")
    if not (checkpoint := run.data.tags.get(runs.CHECKPOINT_TAG)):
        if before := run.data.tags.get("resumed_from"):  # it had not come further than where it set out from
            return find_interrupted(client, task, before)
        raise UserError(
            f"Run {run_id} has no checkpoint: one is kept from a run's first epoch to the last but one, and none by "
            "the runs of a study. Train anew."
        )
    done, path = checkpoint.split(":", 1)
    with _readable(run):
        values = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/{CONFIG_FILE}")
    try:
        config = type(task.models[values["model"]])(**values)
    except (KeyError, TypeError) as error:
        raise UserError(f"Run {run_id} was started by other code, its configuration does not fit: {error}.") from error
    if (before := run.data.tags.get("git.commit")) != (now := runs.commit()):
        logger.warning("The run was started at commit %s, this is %s: the weights may differ.", before, now)
    return Interrupted(run, config, int(done), path)


@contextlib.contextmanager
def _readable(run: Run) -> Iterator[None]:
    try:
        yield
    except (MlflowException, OSError) as error:
        reason = f"The files of run {run.info.run_id} cannot be read: {one_line(error)}"
        raise UserError(f"{reason.rstrip('.')}. Without them it cannot be resumed; train anew.") from error


def check_same_data(interrupted: Interrupted, train_split: Split, validation: Split) -> None:
    params = interrupted.run.data.params
    for name, split in (("train", train_split), ("validation", validation)):
        if (before := params[f"data.{name}_digest"]) != split.digest:
            raise UserError(f"The {name} data changed since the run stopped: {before[:12]}…, now {split.digest[:12]}….")


def restore(client: MlflowClient, task: Task, interrupted: Interrupted) -> Any:
    """The model with its optimizer as they were after the last complete epoch."""
    with tempfile.TemporaryDirectory() as folder:
        with _readable(interrupted.run):
            path = client.download_artifacts(interrupted.run.info.run_id, interrupted.checkpoint, folder)
        try:
            return restored(task, interrupted.config, path)
        except ValueError as error:  # Keras's, of layers and shapes
            raise UserError(
                f"The checkpoint of run {interrupted.run.info.run_id} does not fit the model that this code builds. "
                f"Check out the run's commit {interrupted.run.data.tags.get('git.commit')}, or train anew."
            ) from error


def restored(task: Task, config: Config, checkpoint: str) -> Any:
    """The model with its optimizer as a checkpoint holds them.

    Raises:
        ValueError: It is another model's.
    """
    model = task.build(config)  # a task may have layers of its own, which Keras alone would not know
    model.optimizer.build(model.trainable_variables)
    model.load_weights(checkpoint)
    return model


def drop_checkpoint(client: MlflowClient, run: Run) -> None:
    """Removes what a finished run does not need any more; the tag first, it must not name a file that is gone."""
    if runs.CHECKPOINT_TAG in client.get_run(run.info.run_id).data.tags:
        client.delete_tag(run.info.run_id, runs.CHECKPOINT_TAG)
        try:
            get_artifact_repository(run.info.artifact_uri).delete_artifacts("checkpoint")  # type: ignore[no-untyped-call]
        except Exception as error:  # whatever the store's driver raises; some cannot
            logger.warning("The checkpoint of run %s stays where it is: %s", run.info.run_id, one_line(error))


def copy_curves(client: MlflowClient, interrupted: Interrupted) -> None:
    """Brings the epochs that are done into the new run, and says in the old one where it went on."""
    old, new = interrupted.run, mlflow.active_run()
    assert new is not None
    names = [name for name in old.data.metrics if name.startswith(("train_", "val_", "epoch_", "learning_rate"))]
    points = [point for name in names for point in client.get_metric_history(old.info.run_id, name)]
    runs.log_points(client, new.info.run_id, [point for point in points if point.step <= interrupted.epochs_done])
    mlflow.set_tag("resumed_from", old.info.run_id)
    client.set_tag(old.info.run_id, "resumed_by", new.info.run_id)
    if old.info.status == "RUNNING":  # nobody was left to end it
        client.set_terminated(old.info.run_id, "KILLED")
