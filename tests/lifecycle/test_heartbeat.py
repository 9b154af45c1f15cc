"""Which runs a later command ends, and which it leaves alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus, Run

from lifecycle import heartbeat, search, workplace
from lifecycle.heartbeat import HEARTBEAT_TAG, PROCESS_TAG, Watch, end_abandoned
from lifecycle.runs import NOTE, step_run
from tasks.contract import get_task
from tests.conftest import ROOT, Step

TASK = get_task("digits")
ELSEWHERE = "another-machine/0123456789ab"


@pytest.fixture
def dead() -> str:
    """The id of a process of this machine that has ended."""
    return f"{workplace.process_id().split('/')[0]}/0123456789ab"


@pytest.fixture
def experiment(store: MlflowClient) -> str:
    created: str = store.create_experiment("digits")
    return created


def begun(client: MlflowClient, experiment: str, **tags: str) -> Run:
    return client.create_run(experiment, tags={"task": "digits", "step": "train"} | tags)


def status(client: MlflowClient, run: Run) -> str:
    found: str = client.get_run(run.info.run_id).info.status
    return found


def test_the_next_command_ends_what_a_killed_process_has_begun(store: MlflowClient, experiment: str, dead: str) -> None:
    left = begun(store, experiment, **{PROCESS_TAG: dead, NOTE: "Trains."})
    launch = store.create_run("0", tags={"launched_run": left.info.run_id})
    model = mlflow.MlflowClient().create_logged_model(experiment, "dense", source_run_id=left.info.run_id)
    with step_run(store, TASK, "evaluate", "a name", "a note"):
        pass
    assert status(store, left) == status(store, launch) == "FAILED"
    assert store.get_run(left.info.run_id).data.tags[NOTE] == "Trains.\n\n**Did not finish:** its process was killed"
    assert store.get_logged_model(model.model_id).status == LoggedModelStatus.FAILED


def test_what_is_worked_on_is_left_alone(store: MlflowClient, experiment: str) -> None:
    mine = begun(store, experiment, **{PROCESS_TAG: workplace.process_id()})
    elsewhere = begun(store, experiment, **{PROCESS_TAG: ELSEWHERE})
    somebodys = store.create_run(experiment)
    end_abandoned(store, experiment, Watch(silent_seconds=0))
    assert {status(store, run) for run in (mine, elsewhere, somebodys)} == {"RUNNING"}


def test_a_run_on_another_machine_is_ended_once_its_heart_has_stopped(
    store: MlflowClient, experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    silent, beating = (begun(store, experiment, **{PROCESS_TAG: ELSEWHERE, HEARTBEAT_TAG: "0"}) for _ in range(2))
    watch = Watch()
    for beat in range(1, 5):  # two hours apart, as clocks may be, does not matter: only that the beat changes
        end_abandoned(store, experiment, watch)
        assert status(store, silent) == status(store, beating) == "RUNNING"
        clock[0] += heartbeat.SILENT_SECONDS / 4
        store.set_tag(beating.info.run_id, HEARTBEAT_TAG, str(-beat))
    end_abandoned(store, experiment, watch)
    clock[0] += 1
    end_abandoned(store, experiment, watch)
    assert (status(store, silent), status(store, beating)) == ("FAILED", "RUNNING")


def test_a_search_ends_with_the_last_process_that_took_part_in_it(
    store: MlflowClient, experiment: str, dead: str
) -> None:
    assert TASK.search is not None
    study = search.open_search(store, TASK, TASK.search)
    store.update_run(study.info.run_id, status="RUNNING")  # as whoever takes part in it does
    trial = begun(store, experiment, **{"mlflow.parentRunId": study.info.run_id})
    parts = [begun(store, experiment, **{PROCESS_TAG: process}) for process in (dead, workplace.process_id())]
    for part in parts:
        store.log_param(part.info.run_id, heartbeat.SEARCH_PARAM, study.info.run_id)
    end_abandoned(store, experiment, Watch())
    assert status(store, parts[0]) == "FAILED"
    assert status(store, study) == status(store, trial) == "RUNNING"
    store.set_terminated(parts[1].info.run_id)
    end_abandoned(store, experiment, Watch())
    assert status(store, study) == status(store, trial) == "FAILED"


def test_a_ledger_whose_maker_was_killed_is_no_open_work(store: MlflowClient, experiment: str) -> None:
    ledger = begun(store, experiment, step="ledger")
    end_abandoned(store, experiment, Watch())
    assert status(store, ledger) == "FINISHED"


def test_a_step_tells_that_it_lives(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with step_run(store, TASK, "train", "a name", "a note") as run:
        assert run.data.tags[PROCESS_TAG] == workplace.process_id()
        deadline = time.monotonic() + 10
        while HEARTBEAT_TAG not in store.get_run(run.info.run_id).data.tags and time.monotonic() < deadline:
            time.sleep(0.01)
        assert HEARTBEAT_TAG in store.get_run(run.info.run_id).data.tags


def runs_of_digits(client: MlflowClient) -> list[Run]:
    found = client.get_experiment_by_name("digits")
    return list(client.search_runs([found.experiment_id])) if found else []


def trained(client: MlflowClient) -> bool:
    """Whether an epoch of the latest run is done."""
    return any("train_loss" in run.data.metrics for run in runs_of_digits(client))


@pytest.mark.slow
def test_a_killed_training_leaves_no_open_run_and_no_file(store: MlflowClient, step: Step, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "steps.train", "--task", "digits", "--epochs", "500"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as training:
        deadline = time.monotonic() + 60
        while not trained(store) and time.monotonic() < deadline:
            time.sleep(0.1)
        training.send_signal(signal.SIGKILL)
    assert list(temporary.rglob("*.alive"))

    done = step("train", "--task", "digits", "--epochs", "1", TMPDIR=str(temporary))
    assert done.returncode == 0, done.stderr
    assert [run.info.status for run in runs_of_digits(store)] == ["FINISHED", "FAILED"]
    assert sorted(path.name for path in temporary.rglob("*") if path.is_file()) == ["machine", "machine.lock"]
