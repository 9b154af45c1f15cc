"""A search for a better configuration with Optuna (Akiba et al. 2019), on MLflow's own storage for it.

Every process that runs the same command against one tracking server takes part in the same search: on one machine or on
several. A trial is a run with the train run below it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import optuna
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.optuna.storage import MlflowStorage
from optuna.trial import FrozenTrial, TrialState

from steps import cli, runs
from steps.fingerprint import equal_run, fingerprint
from steps.train import Part, train
from tasks.contract import Config, Range, Search, Task, UserError, get_task

logger = logging.getLogger(__name__)

HEARTBEAT_TAG = "heartbeat"  # of a trial: when its process was last alive, seconds since 1970
HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0  # without a heartbeat; clocks of machines may differ by less than that
POLL_SECONDS = 1.0
STARTUP_TRIALS = 5  # that are drawn at random and run to their end, before anything can be learnt from them
SETTLED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Found:
    """The best trial.

    Attributes:
        config: What was trained.
        value: Its primary metric on the validation split.
        run_id: Its train run.
    """

    config: Config
    value: float
    run_id: str


@dataclass(frozen=True)
class Worker:
    """What one process of a search needs to know.

    Attributes:
        task: Name of the task.
        study_id: Id of the search's run.
        trials: How many the search is to have, over all processes.
    """

    task: str
    study_id: str
    trials: int


def open_search(client: MlflowClient, task: Task, search: Search) -> Run:
    """The run of the search over this space, which all processes share; created by the first.

    The space is part of its name: with another one, earlier trials would mislead.
    """
    experiment = runs.experiment_of(client, task)
    space = {name: dataclasses.asdict(r) if isinstance(r, Range) else r for name, r in search.space.items()}
    what = json.dumps([dataclasses.asdict(search.base), space], sort_keys=True, default=str)
    name = f"search {hashlib.sha256(what.encode()).hexdigest()[:8]}"
    found = _named(client, experiment, name)
    if not found:
        direction = "maximize" if task.primary.higher_is_better else "minimize"
        storage = MlflowStorage(experiment)
        study_id = str(storage.create_new_study([optuna.study.StudyDirection[direction.upper()]], name))
        note = f"A search for a better `{search.base.model}` of **{task.name}**."
        for key, value in {"task": task.name, "step": "search", runs.NOTE: note}.items():
            client.set_tag(study_id, key, value)
        found = _named(client, experiment, name)
        if found[0].info.run_id != study_id:  # somebody else was faster
            client.delete_run(study_id)
    return found[0]


def take_part(worker: Worker) -> int:
    """Runs trials until the search has enough of them, and gives how many this process ran."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    task = get_task(worker.task)
    assert task.search is not None
    client = runs.connect()
    study = _study(client, worker.study_id, task)
    done = 0
    while True:
        _reap(client, study)
        trials = study.get_trials(deepcopy=False)
        if sum(trial.state in SETTLED for trial in trials) >= worker.trials:
            return done
        if sum(trial.state in (*SETTLED, TrialState.RUNNING) for trial in trials) >= worker.trials:
            time.sleep(POLL_SECONDS)  # the last ones are in other hands; should those die, there is more to do
            continue
        trial = study.ask()
        if not _is_wanted(study, trial._trial_id, worker.trials):
            study.tell(trial, state=TrialState.FAIL)
            client.delete_run(str(trial._trial_id))
            continue
        with _heartbeat(client, str(trial._trial_id)), contextlib.redirect_stdout(io.StringIO()):
            _run(client, task, task.search, study, trial)
        done += 1


def best(client: MlflowClient, task: Task, study_id: str) -> Found:
    """
    Raises:
        cli.StepError: No trial was completed.
    """
    assert task.search is not None
    try:
        trial = _study(client, study_id, task).best_trial
    except ValueError as error:
        raise cli.StepError("No trial was completed.") from error
    config = dataclasses.replace(task.search.base, **trial.params)
    return Found(config, float(trial.value or 0.0), str(trial.user_attrs["run_id"]))


def trials_of(client: MlflowClient, task: Task, study_id: str) -> list[FrozenTrial]:
    """All trials but those that were withdrawn, in their order."""
    trials = _study(client, study_id, task).get_trials(deepcopy=False)
    return sorted(trials, key=lambda trial: (trial.datetime_start, trial.number))


def _run(client: MlflowClient, task: Task, search: Search, study: optuna.Study, trial: optuna.Trial) -> None:
    """One trial, whatever becomes of it."""
    trial_id = str(trial._trial_id)
    config = dataclasses.replace(search.base, **{name: _suggest(trial, search, name) for name in search.space})
    name = f"trial {trial.number + 1}"
    client.set_tag(trial_id, "mlflow.runName", name)
    client.set_tag(trial_id, "task", task.name)
    metric = f"val_{task.primary.name}"

    def watch(epoch: int, values: dict[str, float]) -> None:
        trial.report(values[metric], epoch)
        if epoch < config.epochs and trial.should_prune():
            raise runs.StoppedEarlyError(f"after epoch {epoch} it was worse than the median of the others.")

    data = {split: task.load(split).digest for split in ("train", "validation")}
    same = equal_run(client, study._storage._experiment_id, fingerprint(task, config, data))  # type: ignore[attr-defined]
    try:
        run_id = same.info.run_id if same else train(task, config, part=Part(trial_id, name), watch=watch).run_id
        value = client.get_run(run_id).data.metrics[metric]
        trial.set_user_attr("run_id", run_id)
        study.tell(trial, value)
        logger.info("%s: %s %.4f%s", name, metric, value, f", as run {run_id} had it" if same else "")
    except runs.StoppedEarlyError as error:
        study.tell(trial, state=TrialState.PRUNED)
        logger.info("%s: stopped, %s", name, error)
    except UserError as error:
        study.tell(trial, state=TrialState.FAIL)
        logger.info("%s: failed: %s", name, error)
    except BaseException:
        study.tell(trial, state=TrialState.FAIL)  # not to be waited for
        raise


def _suggest(trial: optuna.Trial, search: Search, name: str) -> Any:
    wanted = search.space[name]
    if isinstance(wanted, tuple):
        return trial.suggest_categorical(name, wanted)
    if isinstance(getattr(search.base, name), int):
        return trial.suggest_int(name, int(wanted.low), int(wanted.high), log=wanted.log)
    return trial.suggest_float(name, wanted.low, wanted.high, log=wanted.log)


def _study(client: MlflowClient, study_id: str, task: Task) -> optuna.Study:
    run = client.get_run(study_id)
    return optuna.load_study(
        study_name=run.info.run_name,
        # Written at once: other processes are to see it.
        storage=MlflowStorage(run.info.experiment_id, batch_flush_interval=0.5),
        # Running trials count as bad ones, so that processes at once do not try the same.
        sampler=optuna.samplers.TPESampler(n_startup_trials=STARTUP_TRIALS, constant_liar=True),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=1),
    )


def _named(client: MlflowClient, experiment: str, name: str) -> list[Run]:
    return list(
        client.search_runs(
            [experiment], f"attributes.run_name = '{name}'", order_by=["attributes.start_time ASC", "run_id ASC"]
        )
    )


def _is_wanted(study: optuna.Study, trial_id: Any, count: int) -> bool:
    """Whether a new trial is among the first `count`: several processes may have asked for the last one at once."""
    alive = [t for t in study.get_trials(deepcopy=False) if t.state in (*SETTLED, TrialState.RUNNING)]
    alive.sort(key=lambda trial: (trial.datetime_start, str(trial._trial_id)))
    return str(trial_id) in [str(trial._trial_id) for trial in alive[:count]]


def _reap(client: MlflowClient, study: optuna.Study) -> None:
    """Gives up trials whose process has died; others take their place."""
    now = time.time()
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        run = client.get_run(str(trial._trial_id))
        seen = float(run.data.tags.get(HEARTBEAT_TAG, run.info.start_time / 1000))
        if now - seen > STALE_SECONDS:
            logger.info("%s is given up: its process has died.", run.info.run_name)
            client.set_terminated(run.info.run_id, "FAILED")
            for child in client.search_runs(
                [run.info.experiment_id],
                f"tags.`mlflow.parentRunId` = '{run.info.run_id}' and attributes.status = 'RUNNING'",
            ):
                client.set_terminated(child.info.run_id, "KILLED")


@contextlib.contextmanager
def _heartbeat(client: MlflowClient, trial_id: str) -> Iterator[None]:
    """Tells others that the trial is in good hands."""
    stopped = threading.Event()

    def beat() -> None:
        while True:
            with contextlib.suppress(Exception):  # the store may be out of reach for a while; the next beat may arrive
                client.set_tag(trial_id, HEARTBEAT_TAG, f"{time.time():.0f}")
            if stopped.wait(HEARTBEAT_SECONDS):
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
