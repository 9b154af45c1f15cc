"""Studies: what is trained, what is reused, what fails, and what is left when one is killed."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import mlflow
import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from lifecycle import comparing, runs
from lifecycle.comparing import Options, compare
from lifecycle.errors import StepError
from lifecycle.libraries import libraries
from lifecycle.training import train
from lifecycle.workers import Done, Job
from registry.candidates import REUSED_TAG, find
from tasks.contract import Study, Task, UserError, get_task
from tests.conftest import ROOT, Step

pytestmark = pytest.mark.slow  # they train several models each
DIGITS = get_task("digits")
SHORT = dataclasses.replace(DIGITS.models["dense"], epochs=2)


def with_study(**variants: Any) -> Task:
    return dataclasses.replace(DIGITS, studies={"some": Study("Which?", variants)})


TASK = with_study(slow=dataclasses.replace(SHORT, learning_rate=1e-4), fast=SHORT)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch, no_figures: None) -> list[Job]:
    """Trains in this process, which has TensorFlow already; gives the jobs that were trained."""
    trained: list[Job] = []

    def run_all(work: Callable[[Job], Done], jobs: Sequence[Job], processes: int) -> Iterator[Done]:
        for job in jobs:
            trained.append(job)
            yield work(job)

    monkeypatch.setattr(comparing, "run_all", run_all)
    return trained


def parent_of(client: MlflowClient) -> Run:
    """The newest study's run."""
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    return client.search_runs([experiment.experiment_id], "tags.step = 'compare'", max_results=1)[0]


def children_of(client: MlflowClient, parent: Run) -> list[Run]:
    condition = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    return client.search_runs([parent.info.experiment_id], condition, order_by=["attributes.start_time"])


def numbers(run: Run) -> dict[str, Any]:
    """What the report was made from, without what differs from one time to the next."""
    found = json.loads(mlflow.artifacts.load_text(f"{run.info.artifact_uri}/report.json"))
    return {key: value for key, value in found.items() if key not in ("seconds", "runs")}


def test_without_a_name_the_tasks_first_study_is_run() -> None:
    assert comparing.first_study(get_task("mnist")) == next(iter(get_task("mnist").studies))
    with pytest.raises(UserError, match="digits has no study"):
        comparing.first_study(dataclasses.replace(get_task("digits"), studies={}))


def test_a_study_trains_every_variant_with_every_seed_under_one_run(store: MlflowClient, in_process: list[Job]) -> None:
    (outcome,) = compare(TASK, "some", Options(repeats=2))
    parent = parent_of(store)
    children = children_of(store, parent)
    names = [child.info.run_name for child in children]
    assert names == ["slow, seed 1", "fast, seed 1", "slow, seed 2", "fast, seed 2"]
    assert {child.info.status for child in (parent, *children)} == {"FINISHED"}
    assert all(child.outputs and child.outputs.model_outputs for child in children)
    assert "fast" in parent.data.tags[runs.NOTE]
    assert "val_accuracy" in parent.data.metrics
    page = mlflow.artifacts.load_text(f"{parent.info.artifact_uri}/report.html")
    assert page.startswith("<!doctype html>")
    values = {child.info.run_name: child.data.metrics["val_accuracy"] for child in children}
    assert outcome.values("fast", "val_accuracy") == {seed: values[f"fast, seed {seed}"] for seed in (1, 2)}
    assert [len(repeat.curves["val_loss"]) for repeat in outcome.repeats] == [2] * 4


def test_what_was_trained_before_is_reused_and_looks_the_same(
    store: MlflowClient, in_process: list[Job], capsys: pytest.CaptureFixture[str]
) -> None:
    compare(TASK, "some", Options(repeats=2))
    first = parent_of(store)
    in_process.clear()
    compare(TASK, "some", Options(repeats=2))
    again = parent_of(store)
    assert in_process == []
    assert "4 of 4 reused" in capsys.readouterr().out
    assert again.info.run_id != first.info.run_id
    assert numbers(again) == numbers(first)
    originals, copies = children_of(store, first), children_of(store, again)
    assert sorted(copy.data.tags[REUSED_TAG] for copy in copies) == sorted(o.info.run_id for o in originals)
    by_id = {original.info.run_id: original for original in originals}
    for copy in copies:
        original = by_id[copy.data.tags[REUSED_TAG]]
        assert copy.info.run_name == original.info.run_name
        assert copy.data.params == original.data.params
        histories = [store.get_metric_history(run.info.run_id, "val_loss") for run in (copy, original)]
        assert [point.value for point in histories[0]] == [point.value for point in histories[1]]
        assert original.info.run_id in copy.data.tags[runs.NOTE]
        assert find(store, TASK, copy.info.run_id).run_id == original.info.run_id

    compare(TASK, "some", Options(repeats=3))
    assert [job.config.seed for job in in_process] == [3, 3]
    in_process.clear()
    compare(TASK, "some", Options(repeats=1, force=True))
    assert len(in_process) == 2


def test_a_train_run_of_its_own_is_reused_too(store: MlflowClient, in_process: list[Job]) -> None:
    train(TASK, SHORT)
    compare(TASK, "some", Options(repeats=1))
    assert [job.part.variant for job in in_process] == ["slow"]


def test_a_changed_library_trains_again_and_says_so(
    store: MlflowClient,
    in_process: list[Job],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    task = with_study(fast=SHORT)
    compare(task, "some", Options(repeats=1))
    monkeypatch.setattr("lifecycle.fingerprint.libraries", lambda: libraries() | {"keras": "99.0"})
    in_process.clear()
    compare(task, "some", Options(repeats=1))
    assert len(in_process) == 1
    line = next(line for line in capsys.readouterr().out.splitlines() if "fast, seed 1: trained again" in line)
    assert "trained again, because this changed since run " in line
    assert line.endswith(f": library keras {libraries()['keras']} → 99.0")


def test_a_fingerprint_that_cannot_be_read_stops_nothing(
    store: MlflowClient,
    in_process: list[Job],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def gone(uri: str) -> None:
        raise OSError(f"no such file: {uri}")

    compare(with_study(fast=SHORT), "some", Options(repeats=1))
    monkeypatch.setattr(mlflow.artifacts, "load_dict", gone)
    compare(with_study(fast=dataclasses.replace(SHORT, learning_rate=1e-3)), "some", Options(repeats=1))
    assert len(in_process) == 2
    assert ": what cannot be told: its fingerprint cannot be read" in capsys.readouterr().out


def test_a_run_that_fails_before_it_has_parameters_is_one_that_failed(
    store: MlflowClient, in_process: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    log_params = mlflow.log_params

    def locked(params: dict[str, Any]) -> None:
        if params.get("config.learning_rate") == 1e-4:
            raise MlflowException("database is locked")
        log_params(params)

    monkeypatch.setattr(mlflow, "log_params", locked)
    with pytest.raises(StepError, match=r"1 of 2 runs failed.*slow, seed 1: .*reports: database is locked\."):
        compare(TASK, "some", Options(repeats=1))
    assert parent_of(store).data.metrics["val_accuracy"] > 0


def test_interrupted_while_it_reuses_it_leaves_nothing_running(
    store: MlflowClient, in_process: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    train(TASK, SHORT)
    monkeypatch.setattr(runs, "log_points", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare(TASK, "some", Options(repeats=1))
    parent = parent_of(store)
    assert {run.info.status for run in (parent, *children_of(store, parent))} == {"KILLED"}


def test_seconds_are_only_taken_over_where_nothing_ran_beside(store: MlflowClient, in_process: list[Job]) -> None:
    plain = Study("Which?", {"short": SHORT})
    task = dataclasses.replace(DIGITS, studies={"plain": plain, "timed": dataclasses.replace(plain, timed=True)})
    trained = []
    for name in ("plain", "timed", "timed", "plain"):
        in_process.clear()
        compare(task, name, Options(repeats=1))
        trained.append(len(in_process))
    assert trained == [1, 1, 0, 0]


def test_a_variant_that_diverges_does_not_stop_the_others(store: MlflowClient, in_process: list[Job]) -> None:
    task = with_study(good=SHORT, broken=dataclasses.replace(SHORT, learning_rate=1e38))
    with pytest.raises(StepError, match=r"1 of 2 runs failed\. some: broken, seed 1: Training diverged"):
        compare(task, "some", Options(repeats=1))
    parent = parent_of(store)
    assert parent.info.status == "FINISHED"
    assert {child.info.run_name: child.info.status for child in children_of(store, parent)} == {
        "good, seed 1": "FINISHED",
        "broken, seed 1": "FAILED",
    }
    assert "Training diverged" in parent.data.tags[runs.NOTE]
    assert "Training diverged" in mlflow.artifacts.load_text(f"{parent.info.artifact_uri}/report.html")


def test_all_runs_every_study_under_one_run(store: MlflowClient, in_process: list[Job]) -> None:
    one = Study("One?", {"a": SHORT})
    task = dataclasses.replace(DIGITS, studies={"first": one, "second": one})
    assert [outcome.name for outcome in compare(task, "all", Options(repeats=1))] == ["first", "second"]
    assert len(in_process) == 1
    above = parent_of(store).data.tags.get("mlflow.parentRunId")
    assert above is not None
    assert store.get_run(above).info.run_name == "all studies"


def begun(client: MlflowClient, folder: Path, repeats: int) -> subprocess.Popen[str]:
    """A study in a process of its own, where one run has finished and another one was begun since."""
    command = [sys.executable, "-m", "steps.compare", "--task", "digits", "--study", "models"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    study = subprocess.Popen(
        [*command, "--repeats", str(repeats)],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and study.poll() is None:
        ends = [run.info.end_time for run in train_runs(client, "FINISHED")]
        if ends and any(run.info.start_time > min(ends) for run in train_runs(client, "RUNNING")):
            return study
        time.sleep(0.1)
    study.kill()
    raise AssertionError(f"It never came to that: exit code {study.poll()}, {study.communicate()[1]}")


def train_runs(client: MlflowClient, status: str) -> list[Run]:
    experiment = client.get_experiment_by_name("digits")
    if experiment is None:
        return []
    return client.search_runs([experiment.experiment_id], f"tags.step = 'train' and attributes.status = '{status}'")


def test_killed_in_the_middle_and_run_again_it_trains_only_what_is_missing(
    store: MlflowClient, step: Step, tmp_path: Path, empty_database: Path
) -> None:
    study = begun(store, tmp_path, repeats=2)
    family = psutil.Process(study.pid).children(recursive=True)
    study.kill()
    study.communicate()
    assert psutil.wait_procs(family, timeout=30)[1] == []  # nobody goes on training
    done = len(train_runs(store, "FINISHED"))
    assert 1 <= done < 4

    again = step("compare", "--task", "digits", "--study", "models", "--repeats", "2")
    assert again.returncode == 0, again.stderr
    assert f"{done} of 4 reused" in again.stdout
    assert f"{4 - done} to train" in again.stdout
    continued = numbers(parent_of(store))

    other = tmp_path / "other.db"
    shutil.copy(empty_database, other)
    whole = step(
        "compare", "--task", "digits", "--study", "models", "--repeats", "2", MLFLOW_TRACKING_URI=f"sqlite:///{other}"
    )
    assert whole.returncode == 0, whole.stderr
    assert "reused" not in whole.stdout
    mlflow.set_tracking_uri(f"sqlite:///{other}")
    assert numbers(parent_of(MlflowClient())) == continued


def test_interrupted_it_ends_with_all_its_processes_and_says_so_in_the_runs(
    store: MlflowClient, tmp_path: Path
) -> None:
    study = begun(store, tmp_path, repeats=20)
    family = psutil.Process(study.pid).children(recursive=True)
    study.send_signal(signal.SIGINT)
    _, errors = study.communicate(timeout=30)
    assert study.returncode == 130
    assert errors.splitlines()[-1] == "Interrupted."
    assert psutil.wait_procs(family, timeout=10)[1] == []
    parent = parent_of(store)
    assert parent.info.status == "KILLED"
    states = Counter(child.info.status for child in children_of(store, parent))
    assert set(states) == {"FINISHED", "KILLED"}
    assert states["KILLED"] <= 2


def test_a_training_process_that_is_killed_ends_the_study_with_one_line(store: MlflowClient, tmp_path: Path) -> None:
    study = begun(store, tmp_path, repeats=9)
    children = psutil.Process(study.pid).children()
    trainers = [child for child in children if any("spawn_main" in word for word in child.cmdline())]
    trainers[0].kill()
    _, errors = study.communicate(timeout=60)
    assert study.returncode == 1
    assert errors.splitlines()[-1].startswith("error: A training process was killed; was there too little memory?")
    assert "Traceback" not in errors
    parent = parent_of(store)
    assert parent.info.status == "FAILED"
    assert "RUNNING" not in [child.info.status for child in children_of(store, parent)]
