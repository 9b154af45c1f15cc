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


def test_behind_the_fence_only_what_is_required_can_be_imported(saved: Path) -> None:
    code = "import mlflow, onnxruntime, numpy.linalg; print('fine', flush=True); import tensorflow"
    environment = os.environ | fenced(saved)
    hidden = environment[VARIABLE].split(",")
    assert "tensorflow" in hidden
    assert "numpy" not in hidden
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert result.stdout == "fine\n"
    assert "No module named 'tensorflow' among what the model requires" in result.stderr.splitlines()[-1]
