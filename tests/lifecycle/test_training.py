from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from lifecycle import resuming, training
from lifecycle.resuming import Interrupted, check_same_data, find_interrupted
from lifecycle.runs import CHECKPOINT_TAG
from lifecycle.training import log_data, measured_on_training, train
from serving.package import REQUIREMENTS
from tasks.contract import Split, SplitName, UserError, get_task
from tests.conftest import ROOT, Step

NOTE = "mlflow.note.content"


@pytest.fixture(scope="module")
def run(trained_database: Path) -> Run:
    """The first train run of the shared store."""
    client = MlflowClient(f"sqlite:///{trained_database}")
    return train_runs(client)[-1]


def train_runs(client: MlflowClient, task: str = "digits") -> list[Run]:
    """Newest first."""
    experiment = client.get_experiment_by_name(task)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], "tags.step = 'train'"))


def files(client: MlflowClient, run: Run, folder: str) -> set[str]:
    return {Path(file.path).name for file in client.list_artifacts(run.info.run_id, folder)}


def test_curves_are_there_for_every_epoch(trained_store: MlflowClient, run: Run) -> None:
    for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "epoch_seconds"):
        points = trained_store.get_metric_history(run.info.run_id, name)
        assert sorted({point.step for point in points}) == [1, 2, 3, 4, 5, 6]
        assert all(np.isfinite(point.value) for point in points)


def test_what_produced_the_run_is_recorded(trained_store: MlflowClient, run: Run) -> None:
    task = get_task("digits")
    params, tags = run.data.params, run.data.tags
    assert params["config.model"] == "dense"
    assert params["config.epochs"] == "6"
    assert params["config.learning_rate"] == "0.005"
    assert params["data.train_digest"] == task.load("train").digest
    assert params["data.validation_digest"] == task.load("validation").digest
    assert "data.test_digest" not in params
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    assert tags["git.commit"] == (commit.stdout.strip() or "unknown")
    assert tags["git.dirty"] in ("true", "false", "unknown")
    assert ("git.diff" in files(trained_store, run, "code")) == (tags["git.dirty"] == "true")
    environment = json.loads(mlflow.artifacts.load_text(f"{run.info.artifact_uri}/code/environment.json"))
    assert environment["libraries"]["mlflow"] == mlflow.__version__
    assert run.inputs is not None
    assert {entry.dataset.name for entry in run.inputs.dataset_inputs} == {"digits-train", "digits-validation"}


def test_a_person_finds_name_description_and_pictures(trained_store: MlflowClient, run: Run) -> None:
    assert run.info.run_name == "dense, seed 1"
    assert "**val_accuracy 0." in run.data.tags[NOTE]
    expected = {"curves.png", "confusion_matrix.png", "misclassified.png", "recall_by_class.png", "reliability.png"}
    assert files(trained_store, run, "figures") == expected


def test_cpu_and_memory_are_sampled_in_short_runs_too(run: Run) -> None:
    assert "system/cpu_utilization_percentage" in run.data.metrics
    assert run.data.metrics["system/system_memory_usage_megabytes"] > 0


def test_checkpoints_do_not_stay(trained_store: MlflowClient, run: Run) -> None:
    assert files(trained_store, run, "checkpoint") == set()
    assert "checkpoint" not in run.data.tags


def test_the_logged_model_is_what_ships(trained_store: MlflowClient, run: Run) -> None:
    assert run.outputs is not None
    (output,) = run.outputs.model_outputs
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{output.model_id}"))
    assert {path.name for path in (folder / "artifacts").iterdir()} == {
        "model.onnx",
        "model.keras",
        "golden.json",
        "profile.json",
        "card.md",
    }
    assert set((folder / "requirements.txt").read_text().splitlines()) == set(REQUIREMENTS)
    model = trained_store.get_logged_model(output.model_id)
    assert model.tags["task"] == "digits"
    assert model.tags["weights_digest"] == run.data.tags["weights_digest"]
    assert {metric.key for metric in model.metrics or []} >= {"val_accuracy", "val_loss", "onnx_max_abs_diff"}
    assert run.data.metrics["onnx_max_abs_diff"] < 1e-5


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_the_same_configuration_gives_the_same_weights(trained_store: MlflowClient, run: Run) -> None:
    task = get_task("digits")
    again = train(task, task.configure(epochs=6, learning_rate=5e-3))
    assert trained_store.get_run(again.run_id).data.tags["weights_digest"] == run.data.tags["weights_digest"]


def test_a_diverging_run_fails_with_the_reason(store: MlflowClient) -> None:
    task = get_task("digits")
    with pytest.raises(UserError, match=r"Training diverged: the loss of epoch \d+ is (nan|inf). Try a lower learning"):
        train(task, task.configure("linear", epochs=3, learning_rate=1e38))
    (failed,) = train_runs(store)
    assert failed.info.status == "FAILED"
    assert "Training diverged" in failed.data.tags[NOTE]


def started(store: MlflowClient, tmp_path: Path, *arguments: str) -> tuple[subprocess.Popen[bytes], Run]:
    """A training process of digits that is past its second epoch, and its run."""
    command = [sys.executable, "-m", "steps.train", "--task", "digits", "--epochs", "40", "--seed", "7", *arguments]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None
        if store.get_experiment_by_name("digits") and (runs := train_runs(store)):
            checkpoint = runs[0].data.tags.get("checkpoint", "0:")
            if int(checkpoint.split(":")[0]) >= 2:
                return process, runs[0]
        time.sleep(0.05)
    process.kill()
    raise AssertionError("no second epoch within 60 s")


def test_runs_that_log_the_same_data_at_the_same_moment_do_not_fail(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, log_input = get_task("digits"), mlflow.log_input
    failed: list[str] = []

    def first_come(dataset: Any, context: str) -> None:
        if not failed:  # what MLflow's store raises for all but the fastest
            failed.append(context)
            raise MlflowException("UNIQUE constraint failed: datasets.experiment_id, datasets.name, datasets.digest")
        log_input(dataset, context=context)

    monkeypatch.setattr(mlflow, "log_input", first_come)
    with mlflow.start_run() as run:
        log_data(task, train=task.load("train"), validation=task.load("validation"))
    inputs = store.get_run(run.info.run_id).inputs
    assert inputs is not None
    assert [one.dataset.name for one in inputs.dataset_inputs] == ["digits-train", "digits-validation"]


@pytest.mark.slow
def test_killed_and_resumed_gets_the_weights_of_a_run_that_was_not(
    step: Step, store: MlflowClient, tmp_path: Path
) -> None:
    process, killed = started(store, tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert store.get_run(killed.info.run_id).info.status == "RUNNING"  # nobody was left to say otherwise

    result = step("train", "--task", "digits", "--resume", killed.info.run_id)
    assert result.returncode == 0, result.stderr
    task = get_task("digits")
    whole = train(task, task.configure(epochs=40, seed=7))
    uninterrupted, resumed = train_runs(store)[:2]
    assert uninterrupted.info.run_id == whole.run_id
    assert resumed.data.tags["weights_digest"] == uninterrupted.data.tags["weights_digest"]
    assert resumed.data.tags["resumed_from"] == killed.info.run_id
    assert store.get_run(killed.info.run_id).info.status == "KILLED"
    curves = [store.get_metric_history(run.info.run_id, "train_loss") for run in (uninterrupted, resumed)]
    values = [{point.step: point.value for point in points} for points in curves]
    assert len(values[1]) == 40
    assert values[0] == values[1]
    assert store.get_run(killed.info.run_id).data.tags["resumed_by"] == resumed.info.run_id


@pytest.mark.slow
def test_ctrl_c_ends_the_run_killed(store: MlflowClient, tmp_path: Path) -> None:
    process, run = started(store, tmp_path)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    ended = store.get_run(run.info.run_id)
    assert ended.info.status == "KILLED"
    assert "**Did not finish:** interrupted" in ended.data.tags[NOTE]


def test_what_cannot_be_resumed_is_refused(trained_store: MlflowClient, run: Run) -> None:
    task = get_task("digits")
    with pytest.raises(UserError, match="has finished, there is nothing to resume"):
        find_interrupted(trained_store, task, run.info.run_id)
    with pytest.raises(UserError, match="Expected a train run of mnist to resume"):
        find_interrupted(trained_store, get_task("mnist"), run.info.run_id)
    early = trained_store.create_run(run.info.experiment_id, tags={"step": "train", "task": "digits"})
    with pytest.raises(UserError, match="has no checkpoint: one is kept from a run's first epoch"):
        find_interrupted(trained_store, task, early.info.run_id)
    tags = {"step": "train", "task": "digits", CHECKPOINT_TAG: "1:checkpoint/1.weights.h5"}
    bare = trained_store.create_run(run.info.experiment_id, tags=tags)
    with pytest.raises(UserError, match=f"The files of run {bare.info.run_id} cannot be read: .*it cannot be resumed"):
        find_interrupted(trained_store, task, bare.info.run_id)


def test_a_run_does_not_go_on_with_other_data() -> None:
    task = get_task("digits")
    train_split, validation = task.load("train"), task.load("validation")
    params = {"data.train_digest": "0" * 64, "data.validation_digest": validation.digest}
    started: Any = SimpleNamespace(data=SimpleNamespace(params=params))
    with pytest.raises(UserError, match="The train data changed since the run stopped: 000000000000…, now "):
        check_same_data(Interrupted(started, task.configure(), 1, "checkpoint"), train_split, validation)


def test_pictures_of_the_training_split_are_measured_as_they_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def scores(split: Split, outputs: np.ndarray) -> Any:
        seen.append((outputs.dtype, outputs.max()))

    task = dataclasses.replace(get_task("style"), scores=scores, metrics=lambda _: {})
    split = Split(np.zeros((2, 4, 4, 3), np.uint8), np.zeros(2))
    monkeypatch.setattr(training, "run_onnx", lambda path, inputs: np.full(inputs.shape, 7.4))
    packaged: Any = SimpleNamespace(artifacts={"onnx": "model.onnx"})
    measured_on_training(task, packaged, split, most=2)
    assert seen == [(np.uint8, 7)]


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_a_store_that_cannot_delete_keeps_the_checkpoint(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Repository:
        def delete_artifacts(self, path: str) -> None:
            raise NotImplementedError("this store keeps all")

    monkeypatch.setattr(resuming, "get_artifact_repository", lambda _: Repository())
    task = get_task("digits")
    trained = train(task, task.configure("linear", epochs=2))
    run = store.get_run(trained.run_id)
    assert run.info.status == "FINISHED"
    assert CHECKPOINT_TAG not in run.data.tags
    assert f"The checkpoint of run {trained.run_id} stays where it is: this store keeps all" in caplog.text


@pytest.mark.slow
def test_a_checkpoint_of_another_architecture_is_told(store: MlflowClient) -> None:
    def not_the_test_data(name: SplitName) -> Split:
        assert name != "test"
        return get_task("digits").load(name)

    task = dataclasses.replace(get_task("digits"), load=not_the_test_data)

    def stop(epoch: int, metrics: dict[str, float]) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(task, task.configure("dense", epochs=3), watch=stop)
    experiment = store.get_experiment_by_name("digits")
    assert experiment is not None
    (stopped,) = store.search_runs([experiment.experiment_id])
    interrupted = find_interrupted(store, task, stopped.info.run_id)
    changed = dataclasses.replace(task, build=lambda config: task.build(task.configure("linear")))
    with pytest.raises(UserError, match=f"The checkpoint of run {stopped.info.run_id} does not fit the model"):
        train(changed, interrupted.config, interrupted)
