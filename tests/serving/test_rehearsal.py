from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import keras
import mlflow
import psutil
import pytest

from serving.package import MODEL_CODE, REQUIREMENTS, package
from serving.rehearsal import Golden, RehearsalError, read_golden, rehearse, replay, scoring_server
from tasks.contract import get_task
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as it is registered."""
    task = get_task("digits")
    keras.utils.set_random_seed(1)
    folder = tmp_path_factory.mktemp("saved")
    packaged = package(task, task.build(task.configure()), task.load("validation"), folder)
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=str(MODEL_CODE),
        artifacts=packaged.artifacts,
        pip_requirements=list(REQUIREMENTS),
    )
    return folder / "model"


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def servers(model: Path) -> list[int]:
    """The processes that serve this model: MLflow names it in their environment or their arguments."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), process.environ().get("__pyfunc_model_path__", "")]
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        if process.pid != os.getpid() and any(str(model) in word for word in words):
            found.append(process.pid)
    return found


def test_a_sound_model_passes_and_its_server_is_gone_afterwards(model: Path) -> None:
    rehearsal = rehearse(model)
    assert rehearsal.requests == 3
    assert rehearsal.parity < 1e-5
    assert 0 < rehearsal.ready_seconds < 60
    assert servers(model) == []


@pytest.fixture(scope="module")
def url(saved: Path) -> Iterator[str]:
    """A server that several tests share."""
    with scoring_server(saved) as address:
        yield address


def test_wrong_answers_fail(url: str, saved: Path) -> None:
    golden = read_golden(saved)
    golden.requests[1]["predictions"][0][0] += 0.1
    with pytest.raises(RehearsalError, match=r"differ from the golden ones by 0\.1, at most 0\.0001 is allowed"):
        replay(url, golden)


def test_a_refused_golden_request_fails(url: str) -> None:
    golden = Golden(1e-4, [{"body": {"inputs": [[1, 2, 3]]}, "predictions": [[1.0]]}])
    with pytest.raises(RehearsalError, match=r"a golden request got HTTP 400: .*expected an item of shape \(8, 8\)"):
        replay(url, golden)


def test_another_number_of_answers_fails(url: str, saved: Path) -> None:
    golden = read_golden(saved)
    golden.requests[0]["predictions"].pop()
    with pytest.raises(RehearsalError, match=r"predictions of shape \(8, 10\), expected \(7, 10\)"):
        replay(url, golden)


def test_a_proxy_in_the_environment_is_not_asked(url: str, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert replay(url, read_golden(saved)) < 1e-5


def test_a_model_that_does_not_load_fails_with_its_last_words(model: Path) -> None:
    (model / "artifacts" / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(RehearsalError, match="the scoring server ended with exit code 1; its last words: "):
        rehearse(model)


def test_no_golden_requests_no_rehearsal(model: Path) -> None:
    (model / "artifacts" / "golden.json").unlink()
    with pytest.raises(RehearsalError, match="it has no readable golden requests"):
        rehearse(model)


def test_the_server_ends_also_when_its_user_fails(model: Path) -> None:
    with pytest.raises(ZeroDivisionError), scoring_server(model):
        assert servers(model)
        raise ZeroDivisionError
    assert servers(model) == []


def test_the_server_ends_when_its_user_is_killed(model: Path) -> None:
    code = (
        "import pathlib, sys; from serving.rehearsal import scoring_server\n"
        "with scoring_server(pathlib.Path(sys.argv[1])): print('ready', flush=True); input()"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    user = subprocess.Popen([sys.executable, "-c", code, model], env=environment, stdin=pipe, stdout=pipe, text=True)
    assert user.stdout is not None
    assert user.stdout.readline() == "ready\n"
    user.send_signal(signal.SIGKILL)
    user.communicate()
    deadline = time.monotonic() + 15
    while servers(model) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert servers(model) == []


@pytest.mark.parametrize(
    "golden",
    [{"tolerance": 1e-4}, {"tolerance": 1e-4, "requests": []}, {"tolerance": 1e-4, "requests": [{"body": {}}]}, []],
)
def test_incomplete_golden_requests_are_no_rehearsal(model: Path, golden: object) -> None:
    (model / "artifacts" / "golden.json").write_text(json.dumps(golden))
    with pytest.raises(RehearsalError, match="it has no readable golden requests"):
        rehearse(model)
