"""How steps open, describe and end their MLflow runs."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from lifecycle import store
from lifecycle.heartbeat import DEFAULT_EXPERIMENT, PROCESS_TAG, Watch, end_abandoned, heartbeat
from lifecycle.interruption import asked_to_stop, postponed
from lifecycle.libraries import libraries
from lifecycle.outside import explained, reason_and_advice
from lifecycle.workplace import process_id
from registry.candidates import LAUNCHED_TAG
from registry.store import paged
from tasks.contract import Task, UserError, one_line

logger = logging.getLogger(__name__)

NOTE = MLFLOW_RUN_NOTE  # what the UI shows as a run's description
CHECKPOINT_TAG = "checkpoint"  # of a train run: "<epochs done>:<artifact path>"
GIT_PROBLEM_TAG = "git.problem"  # why the commit is unknown
UNKNOWN = "unknown"
MAX_METRICS_A_BATCH = 1_000  # what a tracking server accepts at once
KIND_TAG = "mlflow.experimentKind"  # of an experiment: whether the UI opens with runs or with traces
SYSTEM_METRICS_SECONDS = 1  # MLflow samples every 10 s, longer than a short run takes
ROOT = Path(__file__).resolve().parent.parent


class GitError(Exception):
    """Git does not tell; the message says why."""


class StoppedEarlyError(Exception):
    """A run was stopped on purpose before its end; the message says why."""


def connect() -> MlflowClient:
    """A client of the tracking store that MLflow is set to.

    Raises:
        UserError: The store cannot be reached.
    """
    uri = _usable_uri()
    name = store.shown(uri)
    # A server and a database are asked first: MLflow itself would try again for minutes.
    _ask_server("tracking", uri, "MLFLOW_TRACKING_URI")
    if (registry := mlflow.get_registry_uri()) != uri:
        _ask_server("registry", registry, "MLFLOW_REGISTRY_URI")
    try:
        store.ask(uri)
        client = MlflowClient()
        client.search_experiments(max_results=1)
    except Exception as error:  # whatever the store's driver raises
        otherwise = str(error).partition("\n")[0] or type(error).__name__, "Set MLFLOW_TRACKING_URI to one that works."
        reason, advice = reason_and_advice(error) or otherwise
        raise UserError(f"The tracking store {name} cannot be used: {reason.rstrip('.')}. {advice}") from error
    return client


def _ask_server(kind: str, uri: str, variable: str) -> None:
    """
    Raises:
        UserError: The URI names a server, and it does not answer.
    """
    if not uri.startswith(("http://", "https://")):
        return
    try:
        requests.get(f"{uri}/health", timeout=10)
    except requests.exceptions.SSLError:
        pass  # it answers; what it has to show is for MLflow's own TLS settings to say
    except requests.RequestException as error:
        raise UserError(
            f"The {kind} server {store.shown(uri)} does not answer ({type(error).__name__}). "
            f"Start the server, or set {variable} to one that runs."
        ) from error


def experiment_of(client: MlflowClient, task: Task) -> str:
    """The id of the experiment that the task's runs go to: the one that MLflow was told to use, else the task's own."""
    if name := os.environ.get("MLFLOW_EXPERIMENT_NAME"):
        return _experiment_named(client, name)
    chosen = os.environ.get("MLFLOW_EXPERIMENT_ID", DEFAULT_EXPERIMENT)
    if chosen == DEFAULT_EXPERIMENT:
        return _experiment_named(client, task.name)
    return _usable(client, _found(client.get_experiment, chosen))


@contextlib.contextmanager
def step_run(
    client: MlflowClient,
    task: Task,
    step: str,
    name: str,
    note: str,
    parent: str | None = None,
    more_tags: Mapping[str, str] | None = None,
    log_system_metrics: bool = False,
) -> Iterator[Run]:
    """The run of a step. It ends FINISHED, FAILED with the reason in its description, or KILLED.

    `mlflow run` has opened a run before the step starts. Where the user chose an experiment, the step's run is that
    one. Else it stays in "Default", among other tasks' runs, and points to the step's own in the task's experiment.

    Args:
        client: Of the tracking store.
        task: Whose experiment the run belongs to.
        step: Name of the entry point.
        name: What people will know the run by.
        note: Description in Markdown, replaced by whatever the step sets as `NOTE` later.
        parent: Id of the run that it is a child of, where that is another process's; one of this process is found.
        more_tags: Further tags of the run.
        log_system_metrics: Whether CPU, memory and disk use are sampled.
    """
    experiment = experiment_of(client, task)
    launched = None if mlflow.active_run() else os.environ.pop("MLFLOW_RUN_ID", None)
    attach = launched if launched and _found(client.get_run, launched).info.experiment_id == experiment else None
    outermost = mlflow.active_run() is None
    look = functools.partial(end_abandoned, client, experiment, Watch())
    if outermost:
        look()
    tags = {"task": task.name, "step": step, NOTE: note, PROCESS_TAG: process_id()} | dict(more_tags or {})
    mlflow.set_system_metrics_sampling_interval(SYSTEM_METRICS_SECONDS)  # type: ignore[no-untyped-call]
    with postponed():
        which: dict[str, Any] = {"run_id": attach} if attach else {"experiment_id": experiment, "run_name": name}
        run = mlflow.start_run(
            **which, nested=not outermost, parent_run_id=parent, log_system_metrics=log_system_metrics, tags=tags
        )
        try:
            if attach:
                mlflow.set_tag("mlflow.runName", name)
            elif launched:
                _point_to(client, launched, run, task, name)
            with postponed(False), heartbeat(client, run.info.run_id, look if outermost else None):
                yield run
        except BaseException as error:
            _end_early(client, run, note, error)
            raise
        mlflow.end_run()


def _end_early(client: MlflowClient, run: Run, note: str, error: BaseException) -> None:
    """Ends a run that does not do what it was to do, and says in its description why.

    Raises:
        KeyboardInterrupt: Somebody asked for it, whatever a library made of that.
    """
    interrupted = isinstance(error, KeyboardInterrupt) or asked_to_stop()
    reason = "interrupted" if interrupted else explained(error) or one_line(error) or type(error).__name__
    with contextlib.suppress(Exception):  # the store may be what failed; the error is to be heard of, not that
        client.set_tag(run.info.run_id, NOTE, f"{note}\n\n**Did not finish:** {reason}")
    with contextlib.suppress(Exception):
        mlflow.end_run("KILLED" if interrupted or isinstance(error, StoppedEarlyError) else "FAILED")
    if interrupted and isinstance(error, Exception):
        raise KeyboardInterrupt from error


def failure_of(name: str, error: Exception) -> str:
    """Why what has this name failed, in one line. Of what is no mistake of the user's, the log has the traceback."""
    if isinstance(error, UserError):
        return one_line(error)
    if reason := explained(error):
        return reason
    logger.error("%s failed.", name, exc_info=error)
    return f"{type(error).__name__}: {one_line(error)}"


def children(client: MlflowClient, parent: Run, status: str = "") -> list[Run]:
    """The runs below one, all or those of a status."""
    condition = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    if status:
        condition += f" and attributes.status = '{status}'"
    return list(paged(client.search_runs, [parent.info.experiment_id], condition))


def end_unfinished(client: MlflowClient, parent: Run) -> None:
    """Marks children that nobody works on any more."""
    for child in children(client, parent, "RUNNING"):
        client.set_terminated(child.info.run_id, "KILLED")


def log_points(client: MlflowClient, run_id: str, points: Sequence[Metric]) -> None:
    """Logs metrics, in parts that a tracking server accepts."""
    for start in range(0, len(points), MAX_METRICS_A_BATCH):
        client.log_batch(run_id, metrics=points[start : start + MAX_METRICS_A_BATCH])


def end_launched_run(reason: str) -> None:
    """Ends the run that `mlflow run` opened, when the step failed before it had one of its own."""
    if run_id := os.environ.pop("MLFLOW_RUN_ID", None):
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"  # the store may be what failed
        with contextlib.suppress(Exception):
            _usable_uri()
            client = MlflowClient()
            client.set_tag(run_id, NOTE, f"**Did not start:** {reason}")
            client.set_terminated(run_id, "FAILED")


def _usable_uri() -> str:
    """The URI of the tracking store; MLflow is set to one that it does not misread."""
    given = mlflow.get_tracking_uri()
    if (uri := store.usable_uri(given)) != given:
        mlflow.set_tracking_uri(uri)
    return uri


def link(run: Run, text: str) -> str:
    """A link to the run's page, for a description."""
    return f"[{text}](#/experiments/{run.info.experiment_id}/runs/{run.info.run_id})"


def describe(note: str) -> None:
    """Sets the description of the active run."""
    mlflow.set_tag(NOTE, note)


def log_code_and_environment() -> None:
    """Logs what produced the run: commit, whether the tree was dirty (with the diff), machine and library versions."""
    tags = {"git.commit": UNKNOWN, "git.dirty": UNKNOWN}
    try:
        tags = {"git.commit": _git("rev-parse", "--verify", "HEAD")}
        status = _git("status", "--porcelain")
        tags["git.dirty"] = str(bool(status)).lower()
        if status:
            mlflow.log_text(f"{status}\n\n{_git('diff', 'HEAD')}\n", "code/git.diff")
    except GitError as error:
        tags[GIT_PROBLEM_TAG] = str(error)
        _warn_once(f"What commit this is cannot be told: {error}")
    mlflow.set_tags(tags)
    environment = {"platform": platform.platform(), "cpus": os.cpu_count(), "libraries": libraries()}
    mlflow.log_text(json.dumps(environment, indent=2), "code/environment.json")


def commit() -> str:
    """The commit that is checked out, "unknown" where git cannot tell."""
    try:
        return _git("rev-parse", "--verify", "HEAD")
    except GitError:
        return UNKNOWN


def _git(*arguments: str) -> str:
    """The output of a git command in the project's folder.

    Raises:
        GitError: It is no checkout, it belongs to somebody else, or there is no git. In git's words, which say what to
            do.
    """
    english = os.environ | {"LC_ALL": "C"}
    try:
        result = subprocess.run(["git", "-C", ROOT, *arguments], env=english, capture_output=True, check=True)
    except OSError as error:
        raise GitError(f"git cannot be run ({error.strerror})") from error
    except subprocess.CalledProcessError as error:
        raise GitError(one_line(error.stderr.decode(errors="replace"))) from error
    return result.stdout.decode(errors="replace").strip()


@functools.cache
def _warn_once(message: str) -> None:
    logger.warning(message)


def _experiment_named(client: MlflowClient, name: str) -> str:
    """The id of the experiment, created when it is not there."""
    if (experiment := client.get_experiment_by_name(name)) is None:
        location = store.artifact_location(mlflow.get_tracking_uri(), name)
        try:
            client.create_experiment(name, artifact_location=location)
        except MlflowException as error:
            if client.get_experiment_by_name(name) is None:  # nobody else was faster
                reason, advice = reason_and_advice(error) or (one_line(error), "Choose another name.")
                raise UserError(f"The experiment {name!r} cannot be created: {reason.rstrip('.')}. {advice}") from error
        experiment = client.get_experiment_by_name(name)
        assert experiment is not None
    return _usable(client, experiment)


def _usable(client: MlflowClient, experiment: Experiment) -> str:
    """The experiment's id; it is marked as one of training where nobody marked it as anything."""
    experiment_id: str = experiment.experiment_id
    if experiment.lifecycle_stage == "deleted":
        raise UserError(
            f"The experiment {experiment.name!r} was deleted. Set MLFLOW_EXPERIMENT_NAME to another one, or restore "
            f"it: mlflow experiments restore -x {experiment_id}"
        )
    if KIND_TAG not in experiment.tags:
        client.set_experiment_tag(experiment_id, KIND_TAG, "custom_model_development")
    return experiment_id


def _found(get: Callable[[str], Any], identifier: str) -> Any:
    """What MLflow knows by an id that came with the environment.

    Raises:
        UserError: It knows nothing by it.
    """
    try:
        return get(identifier)
    except MlflowException as error:
        message = "MLFLOW_RUN_ID or MLFLOW_EXPERIMENT_ID is set to what this tracking store does not have"
        raise UserError(f"{message}: {str(error.message).splitlines()[0]}") from error


def _point_to(client: MlflowClient, launched: str, run: Run, task: Task, name: str) -> None:
    client.update_run(launched, name=f"launch of {name}")
    client.set_tag(launched, NOTE, f"Launched {link(run, name)}, a run of the experiment {task.name}.")
    client.set_tag(launched, LAUNCHED_TAG, run.info.run_id)
    logger.info("Run %s (%s) in the experiment %s", run.info.run_id, name, task.name)
