from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from serving.fence import VARIABLE, closure, fenced
from serving.server import Client, ServerError, free_port, scoring_server
from tests.conftest import ROOT
from tests.serving.conftest import servers


@pytest.mark.slow
def test_the_server_ends_also_when_its_user_fails(model: Path) -> None:
    with pytest.raises(ZeroDivisionError), scoring_server(model):
        assert servers(model)
        raise ZeroDivisionError
    assert servers(model) == []


def test_the_server_ends_when_its_user_is_killed(model: Path) -> None:
    code = (
        "import pathlib, sys; from serving.server import scoring_server\n"
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


def test_nobody_there_is_an_error_that_says_so() -> None:
    with pytest.raises(ServerError, match=r"no answer to GET /ping \(ConnectionRefusedError\)"):
        Client(free_port()).get("/ping")


def test_the_closure_follows_requirements_and_extras() -> None:
    assert {"pandas", "numpy", "python-dateutil"} <= closure([Requirement("pandas")])
    assert "tensorflow" not in closure([Requirement("mlflow"), Requirement("onnxruntime")])
    assert closure([Requirement("no-such-distribution>=1")]) == set()


def test_behind_the_fence_only_what_is_required_can_be_imported(saved: Path, tmp_path: Path) -> None:
    code = (
        "import importlib.util, mlflow, onnxruntime, numpy.linalg\n"
        "assert importlib.util.find_spec('tensorflow') is None\n"  # how a package looks for an optional one
        "assert importlib.util.find_spec('tasks') is None\n"
        "print('fine', flush=True)\n"
        "import tensorflow"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | fenced(saved)
    hidden = environment[VARIABLE].split(",")
    assert "tensorflow" in hidden
    assert "numpy" not in hidden
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.stdout == "fine\n", result.stderr
    assert result.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'tensorflow'"


def test_a_model_that_needs_this_project_does_not_start(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    code = (model / "model.py").read_text()
    (model / "model.py").write_text(code.replace("import yaml\n", "import tasks.contract, yaml\n", 1))
    with pytest.raises(ServerError, match="No module named 'tasks'"), scoring_server(model):
        pass
