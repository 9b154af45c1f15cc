"""A search for a better configuration with Optuna (Akiba et al. 2019), on MLflow's own storage for it.

Every process that runs the same command against one tracking server takes part in the same search: on one machine or on
several. A trial is a run with the train run below it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import logging
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.optuna.storage import MlflowStorage
from optuna.trial import FrozenTrial, TrialState

from lifecycle import runs
from lifecycle.errors import StepError
from lifecycle.fingerprint import data_digests, equal_run, fingerprint
from lifecycle.heartbeat import Watch, heartbeat
from lifecycle.training import Part, train
from tasks.contract import Config, Search, Task, get_task

logger = logging.getLogger(__name__)

TRAIN_RUN_TAG = "train_run"  # of a trial
SILENT_SECONDS = 60.0  # a trial that is given up too early costs a trial more, a late one everybody's time
POLL_SECONDS = 2.0
STARTUP_TRIALS = 5  # that are drawn at random and run to their end, before anything can be learnt from them
MOST_FAILURES = 10
SETTLED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Worker:
    """What one process of a search needs to know.

    Attributes:
        task: Name of the task.
        search: What it looks through.
        study_id: Id of the search's run.
        trials: How many the search is to have, over all processes.
    """

    task: str
    search: Search
    study_id: str
    trials: int


class Storage(MlflowStorage):
    """MLflow's storage, which asks the server several times for every trial it reads. One that has ended is kept."""

    def __init__(self, experiment_id: str) -> None:
        super().__init__(experiment_id, batch_flush_interval=0.5)  # others are to see what was written
        self._ended: dict[str, FrozenTrial] = {}

    def get_trial(self, trial_id: Any) -> FrozenTrial:
        if trial_id not in self._ended:
            trial = super().get_trial(trial_id)
            if not trial.state.is_finished():
                return trial
            self._ended[trial_id] = trial
        return self._ended[trial_id]

    def get_all_trials(
        self, study_id: Any, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """MLflow's reads one page, and a search of more than a thousand trials would never have enough of them."""
        self.flush_all_batches()  # type: ignore[no-untyped-call]
        client = MlflowClient()
        trials = [self.get_trial(run.info.run_id) for run in runs.children(client, client.get_run(study_id))]
        return [trial for trial in trials if states is None or trial.state in states]


def open_search(client: MlflowClient, task: Task, search: Search) -> Run:
    """The run of the search, which all processes share; created by the first.

    Its name depends on the space, the code, the data and the library versions: with others, earlier trials would
    mislead.
    """
    experiment = runs.experiment_of(client, task)
    what = repr((fingerprint(task, search.base, data_digests(task.load)).digest, sorted(search.space.items())))
    name = f"search {hashlib.sha256(what.encode()).hexdigest()[:8]}"
    if not _named(client, experiment, name):
        direction = "MAXIMIZE" if task.primary.higher_is_better else "MINIMIZE"
        created = str(MlflowStorage(experiment).create_new_study([optuna.study.StudyDirection[direction]], name))
        client.set_terminated(created)  # it runs while somebody takes part in it: an open one would be taken for dead
        note = f"A search for a better `{search.base.model}` of **{task.name}**."
        for key, value in {"task": task.name, "step": "search", runs.NOTE: note}.items():
            client.set_tag(created, key, value)
        if _named(client, experiment, name)[0].info.run_id != created:  # somebody else was faster
            client.delete_run(created)
    return _named(client, experiment, name)[0]


def take_part(worker: Worker) -> int:
    """Runs trials until the search has enough of them, and gives how many this process ran.

    Raises:
        StepError: Too many trials failed.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    client, task = runs.connect(), get_task(worker.task)
    study = _study(client, worker.study_id)
    watch = Watch(SILENT_SECONDS)
    done = 0
    failures: list[str] = []
    while True:
        trials = study.get_trials(deepcopy=False)
        if sum(trial.state in SETTLED for trial in trials) >= worker.trials:
            return done
        _give_up_the_dead(client, [trial for trial in trials if trial.state == TrialState.RUNNING], watch)
        if len(_alive(trials)) >= worker.trials:
            time.sleep(POLL_SECONDS)  # the last ones are in other hands; should those die, there is more to do
            continue
        trial = study.ask()
        try:
            with heartbeat(client, str(trial._trial_id)), contextlib.redirect_stdout(io.StringIO()):
                if not _is_wanted(study, trial, worker.trials):
                    study.tell(trial, state=TrialState.FAIL)
                    client.delete_run(str(trial._trial_id))
                    continue
                failure = _run(client, task, worker.search, study, trial)
        except KeyboardInterrupt:
            client.set_tag(str(trial._trial_id), runs.NOTE, "Interrupted.")
            _tell(study, trial, "interrupted", TrialState.FAIL)  # it is not to be waited for
            raise
        done += 1
        failures += [failure] if failure else []
        if len(failures) >= MOST_FAILURES:
            raise StepError(f"{len(failures)} trials failed, the last of them: {failure}")


def trials_of(client: MlflowClient, study_id: str) -> list[FrozenTrial]:
    """All trials, in their order."""
    return sorted(_study(client, study_id).get_trials(deepcopy=False), key=_begun)


def best_run(client: MlflowClient, task: Task, trials: Sequence[FrozenTrial]) -> str:
    """The id of the train run of the best trial.

    Raises:
        StepError: No trial was completed.
    """
    completed = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not completed:
        raise StepError("No trial was completed.")
    best = max(completed, key=lambda trial: task.primary.sign * (trial.value or 0.0))
    train_run: str = client.get_run(str(best._trial_id)).data.tags[TRAIN_RUN_TAG]
    return train_run


def _run(client: MlflowClient, task: Task, search: Search, study: optuna.Study, trial: optuna.Trial) -> str:
    """One trial, whatever becomes of it. Gives the reason where it failed, else nothing."""
    trial_id, name, metric = str(trial._trial_id), f"trial {trial.number + 1}", f"val_{task.primary.name}"

    def watch(epoch: int, values: dict[str, float]) -> None:
        trial.report(values[metric], epoch)
        if epoch < config.epochs and trial.should_prune():
            raise runs.StoppedEarlyError(f"after epoch {epoch} it was worse than the median of the others.")

    try:
        client.set_tag(trial_id, "mlflow.runName", name)
        config = dataclasses.replace(search.base, **{key: _suggest(trial, search, key) for key in search.space})
        run_id = (
            _equal(client, task, config, study) or train(task, config, part=Part(trial_id, name), watch=watch).run_id
        )
        value = client.get_run(run_id).data.metrics[metric]
        client.set_tag(trial_id, TRAIN_RUN_TAG, run_id)
        _tell(study, trial, f"{metric} {value:.4f}", TrialState.COMPLETE, value)
    except runs.StoppedEarlyError as error:
        _tell(study, trial, f"stopped, {error}", TrialState.PRUNED)
    except Exception as error:  # the other trials are not to blame
        failure = runs.failure_of(name, error)
        client.set_tag(trial_id, runs.NOTE, failure)
        _tell(study, trial, f"failed: {failure}", TrialState.FAIL)
        return failure
    return ""


def _equal(client: MlflowClient, task: Task, config: Config, study: optuna.Study) -> str | None:
    """The id of a finished train run that would come out the same."""
    experiment = client.get_run(str(study._study_id)).info.experiment_id
    run = equal_run(client, experiment, fingerprint(task, config, data_digests(task.load)))
    return run.info.run_id if run else None


def _tell(study: optuna.Study, trial: optuna.Trial, what: str, state: TrialState, value: float | None = None) -> None:
    try:
        study.tell(trial, value, state)
        logger.info("trial %d: %s", trial.number + 1, what)
    except ValueError:  # it was silent for too long, its server out of reach or its machine asleep
        logger.warning("trial %d: %s; not counted, others had given it up meanwhile", trial.number + 1, what)


def _suggest(trial: optuna.Trial, search: Search, name: str) -> Any:
    wanted = search.space[name]
    if isinstance(wanted, tuple):
        return trial.suggest_categorical(name, wanted)
    if isinstance(getattr(search.base, name), int):
        return trial.suggest_int(name, int(wanted.low), int(wanted.high), log=wanted.log)
    return trial.suggest_float(name, wanted.low, wanted.high, log=wanted.log)


def _study(client: MlflowClient, study_id: str) -> optuna.Study:
    """The search as Optuna knows it.

    Raises:
        StepError: Another search of the same name is in the way.
    """
    run = client.get_run(study_id)
    study = optuna.load_study(
        study_name=run.info.run_name,
        storage=Storage(run.info.experiment_id),
        # Running trials count as bad ones, so that processes at once do not try the same.
        sampler=optuna.samplers.TPESampler(n_startup_trials=STARTUP_TRIALS, constant_liar=True),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=1),
    )
    if str(study._study_id) != study_id:  # two processes created one at once, and one of them died over it
        raise StepError(f"There are two runs {run.info.run_name!r}: delete {study._study_id} and try again.")
    return study


def _named(client: MlflowClient, experiment: str, name: str) -> list[Run]:
    """Oldest first."""
    order = ["attributes.start_time ASC", "run_id ASC"]
    return list(client.search_runs([experiment], f"attributes.run_name = '{name}'", order_by=order))


def _begun(trial: FrozenTrial) -> tuple[Any, str]:
    return trial.datetime_start, str(trial._trial_id)


def _alive(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Those that count, or may yet, in the order in which they were begun."""
    return sorted((trial for trial in trials if trial.state in (*SETTLED, TrialState.RUNNING)), key=_begun)


def _is_wanted(study: optuna.Study, trial: optuna.Trial, count: int) -> bool:
    """Whether a new trial is among the first `count`: several processes may have asked for the last one at once."""
    if len(_alive(study.get_trials(deepcopy=False))) < count:
        return True
    time.sleep(POLL_SECONDS)  # until one that was begun before is to be seen
    wanted = _alive(study.get_trials(deepcopy=False))[:count]
    return str(trial._trial_id) in [str(one._trial_id) for one in wanted]


def _give_up_the_dead(client: MlflowClient, running: list[FrozenTrial], watch: Watch) -> None:
    """Ends trials whose process has died; others take their place."""
    for run in watch.dead(client.get_run(str(trial._trial_id)) for trial in running):
        logger.info("%s is given up: its process has died.", run.info.run_name)
        runs.end_unfinished(client, run)
        client.set_terminated(run.info.run_id, "FAILED")
