"""Where a step's run lies, under `mlflow run` and without."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from lifecycle import runs
from lifecycle.libraries import libraries
from lifecycle.runs import NOTE, connect, end_launched_run, experiment_of, step_run
from tasks.contract import UserError, get_task

TASK = get_task("digits")


def opened(client: MlflowClient) -> mlflow.entities.Run:
    with step_run(client, TASK, "train", "a name", "a note") as run:
        pass
    return client.get_run(run.info.run_id)


def test_runs_go_to_the_experiment_named_as_the_task(store: MlflowClient, tmp_path: Path) -> None:
    run = opened(store)
    experiment = store.get_experiment(run.info.experiment_id)
    assert experiment.name == "digits"
    assert experiment.artifact_location == (tmp_path / "mlruns" / "digits").as_uri()  # beside the database
    assert (run.info.run_name, run.info.status) == ("a name", "FINISHED")
    assert {"task": "digits", "step": "train", NOTE: "a note"}.items() <= run.data.tags.items()


def test_a_launch_without_an_experiment_points_to_the_steps_own_run(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched = store.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", launched)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    run = opened(store)
    assert store.get_experiment(run.info.experiment_id).name == "digits"
    record = store.get_run(launched)
    assert record.info.run_name == "launch of a name"
    assert record.data.tags["launched_run"] == run.info.run_id
    assert f"runs/{run.info.run_id}" in record.data.tags[NOTE]


def test_a_launch_into_a_chosen_experiment_is_the_steps_run(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = store.create_experiment("chosen")
    launched = store.create_run(chosen).info.run_id
    store.log_param(launched, "epochs", "0")  # as `mlflow run` does; the resolved value has another name
    monkeypatch.setenv("MLFLOW_RUN_ID", launched)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", chosen)
    run = opened(store)
    assert run.info.run_id == launched
    assert run.info.run_name == "a name"
    assert len(store.search_runs([chosen])) == 1


def test_an_experiment_named_in_the_environment_is_used(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    assert store.get_experiment(opened(store).info.experiment_id).name == "mine"


def test_children_are_nested(store: MlflowClient) -> None:
    with step_run(store, TASK, "main", "parent", "") as parent:
        child = opened(store)
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id


def test_an_experiment_that_cannot_be_created_is_told(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise MlflowException("attempt to write a readonly database")

    monkeypatch.setattr(MlflowClient, "create_experiment", refused)
    with pytest.raises(UserError, match="'digits' cannot be created: attempt to write a readonly database"):
        experiment_of(store, TASK)


def test_a_deleted_experiment_is_the_users_to_restore(store: MlflowClient) -> None:
    store.delete_experiment(store.create_experiment("digits"))
    with pytest.raises(UserError, match="The experiment 'digits' was deleted"):
        experiment_of(store, TASK)


def test_our_own_faults_fail_the_run_and_are_raised(store: MlflowClient) -> None:
    with pytest.raises(ZeroDivisionError), step_run(store, TASK, "train", "a name", "a note") as run:
        raise ZeroDivisionError("an error of ours")
    ended = store.get_run(run.info.run_id)
    assert ended.info.status == "FAILED"
    assert ended.data.tags[NOTE] == "a note\n\n**Did not finish:** an error of ours"


def test_a_launch_that_never_started_says_why(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    launched = store.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", launched)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")
    end_launched_run("no such task")
    assert store.get_run(launched).info.status == "FAILED"
    assert store.get_run(launched).data.tags[NOTE] == "**Did not start:** no such task"


def test_a_store_that_cannot_be_opened_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is no database, however long it may go on" * 100)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(UserError, match="cannot be used: "):
        connect()


def test_a_registry_that_does_not_answer_is_told_at_once(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow, "get_registry_uri", lambda: "http://ada:secret@127.0.0.1:1")
    with pytest.raises(UserError, match=r"The registry server .* does not answer .* MLFLOW_REGISTRY_URI") as caught:
        connect()
    assert "secret" not in str(caught.value)


def test_a_backend_that_cannot_train_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "abacus")
    with pytest.raises(UserError, match="Keras cannot train with abacus"):
        libraries()


def test_no_backend_is_the_default_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "")  # as Keras takes it
    assert libraries()["backend"] == "tensorflow"


def test_a_store_that_fails_with_the_step_does_not_hide_the_error(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise MlflowException("database or disk is full")

    with pytest.raises(ZeroDivisionError), step_run(store, TASK, "train", "a name", "a note"):
        for name in ("set_tag", "set_terminated"):
            monkeypatch.setattr(MlflowClient, name, full)
        raise ZeroDivisionError("an error of ours")
    assert mlflow.active_run() is None


def logged(client: MlflowClient) -> dict[str, str]:
    """The tags of a run that says what code it was."""
    with step_run(client, TASK, "train", "a name", "a note") as run:
        runs.log_code_and_environment()
    tags: dict[str, str] = client.get_run(run.info.run_id).data.tags
    return tags


def git(folder: Path, *arguments: str) -> None:
    author = ["-c", "user.name=a", "-c", "user.email=a@example.invalid"]
    subprocess.run(["git", "-C", folder, *author, *arguments], check=True, capture_output=True)


def test_a_checkout_of_somebody_else_is_told_once_with_what_to_do(
    store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "all")
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    assert len(logged(store)["git.commit"]) == 40
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "true")  # git's own switch for this
    for _ in range(2):
        tags = logged(store)
        assert (tags["git.commit"], tags["git.dirty"]) == ("unknown", "unknown")
        assert "dubious ownership" in tags["git.problem"]
        assert f"git config --global --add safe.directory {tmp_path}" in tags["git.problem"]
    assert caplog.text.count("dubious ownership") == 1


def test_without_a_checkout_or_git_the_commit_is_unknown_and_the_run_says_why(
    store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    tags = logged(store)
    assert tags["git.commit"] == runs.commit() == "unknown"
    assert "not a git repository" in tags["git.problem"]
    git(tmp_path, "init", "-q")
    assert logged(store)["git.commit"] == "unknown"  # there is no commit yet
    monkeypatch.setenv("PATH", str(tmp_path))
    assert logged(store)["git.problem"] == "git cannot be run (No such file or directory)"
