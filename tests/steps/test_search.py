"""A search is shared by all who take part, and outlives those of them that die."""

from __future__ import annotations

import dataclasses
import os
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
from mlflow.entities import Run

from registry.candidates import find
from serving.server import free_port, running
from steps import compare as comparing
from steps import runs, search
from steps.compare import Options, compare
from steps.fingerprint import TAG
from tasks.contract import Range, Search, get_task
from tests.conftest import ROOT

DIGITS = get_task("digits")
QUICK = dataclasses.replace(
    DIGITS,
    search=Search(
        dataclasses.replace(DIGITS.models["dense"], epochs=2),
        {"learning_rate": Range(1e-3, 1e-1, log=True), "epochs": Range(1, 2), "batch_size": (64, 128)},
    ),
)

# Takes part in the search whose id is given, with a heart that beats faster.
PROCESS = """
import sys
from steps import cli, search
cli.set_up_logging()
search.HEARTBEAT_SECONDS, search.STALE_SECONDS = 0.5, 4.0
search.take_part(search.Worker("digits", sys.argv[1], int(sys.argv[2])))
"""


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_all(work: Callable[[Any], Any], items: Sequence[Any], processes: int) -> Iterator[Any]:
        with ThreadPoolExecutor(1) as pool:  # a thread has no run of its own open, as a process has none
            yield from pool.map(work, items)

    monkeypatch.setattr(comparing, "run_all", run_all)
    monkeypatch.setattr(search, "get_task", lambda name: QUICK)


def trials_of(client: MlflowClient, study: Run) -> list[Run]:
    condition = f"tags.`mlflow.parentRunId` = '{study.info.run_id}'"
    return client.search_runs([study.info.experiment_id], condition)


def test_the_best_trial_is_an_ordinary_candidate(
    store: MlflowClient, in_process: None, capsys: pytest.CaptureFixture[str]
) -> None:
    compare(QUICK, "search", Options(jobs=1, trials=3))
    assert QUICK.search is not None
    study = search.open_search(store, QUICK, QUICK.search)
    trials = trials_of(store, study)
    assert [trial.info.status for trial in trials] == ["FINISHED"] * 3
    found = search.best(store, QUICK, study.info.run_id)
    assert found.value == max(trial.data.metrics["value"] for trial in trials)
    candidate = find(store, QUICK, f"runs:/{found.run_id}")
    assert candidate.metrics["val_accuracy"] == found.value
    parent = store.get_run(found.run_id).data.tags["mlflow.parentRunId"]
    assert parent in [trial.info.run_id for trial in trials]
    assert f"-P model_uri=runs:/{found.run_id}" in study.data.tags[runs.NOTE]
    assert f"val_accuracy {found.value:.4f}" in capsys.readouterr().out

    compare(QUICK, "search", Options(jobs=1, trials=3))  # it has them all
    assert len(trials_of(store, study)) == 3


def test_another_space_is_another_search(store: MlflowClient) -> None:
    assert QUICK.search is not None
    wider = dataclasses.replace(QUICK.search, space={"learning_rate": Range(1e-4, 1.0, log=True)})
    first = search.open_search(store, QUICK, QUICK.search).info.run_id
    assert search.open_search(store, QUICK, wider).info.run_id != first
    assert search.open_search(store, QUICK, QUICK.search).info.run_id == first


@pytest.mark.slow
def test_two_processes_share_a_search_and_one_that_is_killed_leaves_nothing_stuck(tmp_path: Path) -> None:
    port = free_port()
    server = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    server += ["--artifacts-destination", str(tmp_path / "artifacts"), "--port", str(port), "--workers", "1"]
    with running(server, port, "/health"), pytest.MonkeyPatch.context() as patch:
        uri = f"http://127.0.0.1:{port}"
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        mlflow.set_tracking_uri(uri)
        client = MlflowClient()
        assert DIGITS.search is not None
        study = search.open_search(client, DIGITS, DIGITS.search)
        command = [sys.executable, "-c", PROCESS, study.info.run_id, "6"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        doomed, survivor = (subprocess.Popen(command, cwd=tmp_path, env=environment) for _ in range(2))
        try:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline:
                states = Counter(trial.info.status for trial in trials_of(client, study))
                if states["RUNNING"] == 2 and states["FINISHED"]:
                    break
                time.sleep(0.05)
            doomed.kill()
            doomed.wait()
            assert survivor.wait(timeout=180) == 0
        finally:
            for process in (doomed, survivor):
                process.kill()
        states = Counter(trial.info.status for trial in trials_of(client, study))
        assert states["FINISHED"] + states["KILLED"] == 6  # completed and stopped early
        assert states["FAILED"] == 1  # the one in the hands of the process that was killed
        assert states["RUNNING"] == 0
        experiment = client.get_experiment_by_name("digits")
        assert experiment is not None
        trained = client.search_runs([experiment.experiment_id], "tags.step = 'train'")
        fingerprints = [run.data.tags[TAG] for run in trained]
        assert len(set(fingerprints)) == len(fingerprints)
        assert "RUNNING" not in [run.info.status for run in trained]
