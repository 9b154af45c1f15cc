"""A search is shared by all who take part, and outlives those of them that die."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from lifecycle import comparing, runs, search
from lifecycle.comparing import Options, compare
from lifecycle.errors import StepError
from lifecycle.fingerprint import TAG
from lifecycle.heartbeat import Watch, end_abandoned
from lifecycle.training import Part, Trained
from registry.candidates import find
from tasks.contract import Range, Search, UserError, get_task
from tests.conftest import ROOT

DIGITS = get_task("digits")
QUICK = dataclasses.replace(
    DIGITS,
    search=Search(
        dataclasses.replace(DIGITS.models["dense"], epochs=2),
        {"learning_rate": Range(1e-3, 1e-1, log=True), "epochs": Range(1, 2), "batch_size": (64, 128)},
    ),
)

# Takes part in the search whose id is given.
PROCESS = """
import sys
from lifecycle import search
from steps import cli
from tasks.contract import get_task
cli.set_up_logging()
search.take_part(search.Worker("digits", get_task("digits").search, sys.argv[1], int(sys.argv[2])))
"""


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch, no_figures: None) -> None:
    def run_all(work: Callable[[Any], Any], items: Sequence[Any], processes: int) -> Iterator[Any]:
        with ThreadPoolExecutor(1) as pool:  # a thread has no run of its own open, as a process has none
            yield from pool.map(work, items)

    monkeypatch.setattr(comparing, "run_all", run_all)


def test_more_trials_than_a_page_are_all_seen(store: MlflowClient, tmp_path: Path, monkeypatch: Any) -> None:
    """Or a search of more than a thousand would never have enough of them."""
    experiment = store.create_experiment("made")
    study = store.create_run(experiment).info.run_id
    trials = [f"{number:032x}" for number in range(1_001)]
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:
        database.executemany(
            "INSERT INTO runs (run_uuid, experiment_id, user_id, status, start_time, lifecycle_stage) "
            "VALUES (?, ?, 'u', 'FINISHED', 0, 'active')",
            [(trial, experiment) for trial in trials],
        )
        database.executemany(
            "INSERT INTO tags (run_uuid, key, value) VALUES (?, 'mlflow.parentRunId', ?)",
            [(trial, study) for trial in trials],
        )
    monkeypatch.setattr(search.Storage, "get_trial", lambda _, trial_id: trial_id)
    assert sorted(search.Storage(experiment).get_all_trials(study)) == trials


@pytest.mark.slow
def test_the_best_trial_is_an_ordinary_candidate(
    store: MlflowClient, in_process: None, capsys: pytest.CaptureFixture[str]
) -> None:
    compare(QUICK, "search", Options(jobs=1, trials=3))
    assert QUICK.search is not None
    study = search.open_search(store, QUICK, QUICK.search)
    trials = runs.children(store, study)
    assert [trial.info.status for trial in trials] == ["FINISHED"] * 3
    value = max(trial.data.metrics["value"] for trial in trials)
    run_id = search.best_run(store, QUICK, search.trials_of(store, study.info.run_id))
    assert find(store, QUICK, f"runs:/{run_id}").metrics["val_accuracy"] == value
    parent = store.get_run(run_id).data.tags["mlflow.parentRunId"]
    assert parent in [trial.info.run_id for trial in trials]
    assert f"-P model_uri=runs:/{run_id}" in study.data.tags[runs.NOTE]
    assert f"val_accuracy {value:.4f}" in capsys.readouterr().out

    compare(QUICK, "search", Options(jobs=1, trials=3))  # it has them all
    assert len(runs.children(store, study)) == 3


def test_a_new_search_is_not_taken_for_one_that_was_killed(store: MlflowClient, caplog: Any) -> None:
    """Whoever opens it looks after abandoned runs before taking part in it."""
    caplog.set_level("INFO")
    assert QUICK.search is not None
    study = search.open_search(store, QUICK, QUICK.search)
    end_abandoned(store, study.info.experiment_id, Watch())
    assert store.get_run(study.info.run_id).info.status == "FINISHED"
    assert "killed" not in caplog.text


def test_another_space_is_another_search(store: MlflowClient) -> None:
    assert QUICK.search is not None
    wider = dataclasses.replace(QUICK.search, space={"learning_rate": Range(1e-4, 1.0, log=True)})
    first = search.open_search(store, QUICK, QUICK.search).info.run_id
    assert search.open_search(store, QUICK, wider).info.run_id != first
    assert search.open_search(store, QUICK, QUICK.search).info.run_id == first


@pytest.mark.slow
def test_a_search_whose_trials_fail_gives_up_and_says_why(
    store: MlflowClient, in_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*_: Any, **__: Any) -> None:
        raise UserError("the loss is nan")

    monkeypatch.setattr(search, "train", train)
    with pytest.raises(StepError, match="10 trials failed, the last of them: the loss is nan"):
        compare(QUICK, "search", Options(jobs=1, trials=3))


@pytest.mark.slow
def test_an_interrupted_trial_is_no_failure(
    store: MlflowClient, in_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    assert QUICK.search is not None
    study = search.open_search(store, QUICK, QUICK.search)
    with monkeypatch.context() as patch:
        patch.setattr(search, "train", train)
        for _ in range(search.MOST_FAILURES + 1):
            with pytest.raises(KeyboardInterrupt):
                compare(QUICK, "search", Options(jobs=1, trials=1))
    trials = runs.children(store, study)
    assert {(trial.info.status, trial.data.tags[runs.NOTE]) for trial in trials} == {("FAILED", "Interrupted.")}
    assert store.get_run(study.info.run_id).info.status == "KILLED"
    compare(QUICK, "search", Options(jobs=1, trials=1))
    assert store.get_run(study.info.run_id).info.status == "FINISHED"


@pytest.mark.slow
def test_a_trial_that_others_gave_up_is_not_counted(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert QUICK.search is not None
    study = search.open_search(store, QUICK, QUICK.search)
    given_up: list[str] = []

    def train(task: Any, config: Any, part: Part, watch: Any) -> Trained:
        if not given_up:
            given_up.append(part.parent)
            store.set_terminated(part.parent, "FAILED")
        with mlflow.start_run(experiment_id=study.info.experiment_id) as run:
            mlflow.log_metric("val_accuracy", 0.5)
        return Trained(run.info.run_id, "")

    monkeypatch.setattr(search, "train", train)
    assert search.take_part(search.Worker("digits", QUICK.search, study.info.run_id, 2)) == 3
    states = {trial.info.run_id: trial.info.status for trial in runs.children(store, study)}
    assert states.pop(given_up[0]) == "FAILED"
    assert list(states.values()) == ["FINISHED"] * 2
    assert "not counted, others had given it up meanwhile" in caplog.text


@pytest.mark.slow
def test_what_is_worse_than_the_median_is_stopped_early(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every trial after the first is worse than those before, and would have 25 epochs."""
    space = dataclasses.replace(DIGITS.models["dense"], epochs=25)
    wanted = Search(space, {"learning_rate": Range(1e-3, 1e-1, log=True)})
    study = search.open_search(store, DIGITS, wanted)
    epochs_done = []

    def train(task: Any, config: Any, part: Part, watch: Any) -> Trained:
        epochs_done.append(0)
        with mlflow.start_run(experiment_id=study.info.experiment_id) as run:
            for epoch in range(1, config.epochs + 1):
                epochs_done[-1] = epoch
                watch(epoch, {"val_accuracy": 0.9 - 0.05 * len(epochs_done)})
            mlflow.log_metric("val_accuracy", 0.5)
        return Trained(run.info.run_id, "")

    monkeypatch.setattr(search, "train", train)
    trials = search.STARTUP_TRIALS + 2
    search.take_part(search.Worker("digits", wanted, study.info.run_id, trials))
    assert epochs_done[: search.STARTUP_TRIALS] == [25] * search.STARTUP_TRIALS
    assert max(epochs_done[search.STARTUP_TRIALS :]) < 5
    states = [trial.info.status for trial in runs.children(store, study)]
    assert Counter(states) == {"FINISHED": search.STARTUP_TRIALS, "KILLED": 2}


@pytest.mark.slow
def test_two_processes_share_a_search_and_one_that_is_killed_leaves_nothing_stuck(
    tracking_server: MlflowClient, tmp_path: Path
) -> None:
    client = tracking_server
    assert DIGITS.search is not None
    study = search.open_search(client, DIGITS, DIGITS.search)
    command = [sys.executable, "-c", PROCESS, study.info.run_id, "6"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    doomed, survivor = (subprocess.Popen(command, cwd=tmp_path, env=environment) for _ in range(2))
    try:
        stop_in_a_trial(doomed, lambda: Counter(trial.info.status for trial in runs.children(client, study)))
        doomed.kill()
        doomed.wait()
        assert survivor.wait(timeout=180) == 0
    finally:
        for process in (doomed, survivor):
            process.kill()
    states = Counter(trial.info.status for trial in runs.children(client, study))
    assert states["FINISHED"] + states["KILLED"] == 6  # completed and stopped early
    assert states["FAILED"] == 1  # the one in the hands of the process that was killed
    assert states["RUNNING"] == 0
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    trained = client.search_runs([experiment.experiment_id], "tags.step = 'train'")
    fingerprints = [run.data.tags[TAG] for run in trained]
    assert len(set(fingerprints)) == len(fingerprints)
    assert "RUNNING" not in [run.info.status for run in trained]


def stop_in_a_trial(process: subprocess.Popen[bytes], states: Callable[[], Counter[str]]) -> None:
    """Stops one of two processes while it has a trial in its hands, once a trial of the search was completed."""

    def both_are_busy() -> bool:
        found = states()
        wanted = found.total() <= 6  # one that was begun beyond that is nobody's to make up for
        return found["RUNNING"] == 2 and found["FINISHED"] > 0 and wanted

    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if both_are_busy():
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.5)  # the server does what the process has asked for last
            if both_are_busy():  # it did not end its trial while its state was read
                return
            process.send_signal(signal.SIGCONT)
        time.sleep(0.05)
    pytest.fail(f"The two processes never had a trial each: {states()}.")
