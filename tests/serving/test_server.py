from __future__ import annotations

import json
import os
import signal
import site
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from serving import server
from serving.fence import VARIABLE, closure, fenced
from serving.server import Client, ServerError, TimedOutError, allowed_environment, free_port, running, scoring_server
from tests.conftest import ROOT
from tests.serving.conftest import servers


@pytest.mark.slow
def test_the_server_ends_also_when_its_user_fails(model: Path) -> None:
    with pytest.raises(ZeroDivisionError), scoring_server(model):
        assert servers(model)
        raise ZeroDivisionError
    assert servers(model) == []


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_model_that_needs_this_project_does_not_start(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    code = (model / "model.py").read_text()
    (model / "model.py").write_text(code.replace("from mlflow", "import tasks.contract\nfrom mlflow", 1))
    with pytest.raises(ServerError, match="No module named 'tasks'"), scoring_server(model):
        pass


SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "secret",
    "MLFLOW_TRACKING_URI": "https://user:secret@the-server",
    "MLFLOW_TRACKING_PASSWORD": "secret",
    "GITHUB_TOKEN": "secret",
    "https_proxy": "http://user:secret@the-proxy",
    "SOMETHING_ELSE": "secret",
}


@pytest.mark.slow
def test_a_model_s_code_gets_no_secret_of_the_environment_and_no_home(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    code = (
        "import json, os, pathlib\n"
        "seen = {'home': os.listdir(pathlib.Path.home()), 'variables': dict(os.environ)}\n"
        f"pathlib.Path({str(tmp_path / 'seen.json')!r}).write_text(json.dumps(seen))\n"
        "raise ValueError('seen enough')\n"
    )
    (model / "model.py").write_text(code)
    with pytest.raises(ServerError, match="seen enough"), scoring_server(model):
        pass
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert not SECRETS.keys() & seen["variables"].keys()
    assert "secret" not in str(seen)
    assert seen["variables"]["LC_ALL"] == "C.UTF-8"
    assert seen["home"] == []


def test_packages_that_a_user_installed_are_found_without_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "getuserbase", lambda: "/home/ada/.local")
    assert allowed_environment("/empty")["PYTHONUSERBASE"] == "/home/ada/.local"


def test_a_server_that_is_not_ready_in_time_is_told_from_one_that_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "START_TIMEOUT_SECONDS", 0.3)
    with pytest.raises(TimedOutError, match=r"was not ready after 0\.3 s"), running(["sleep", "60"], free_port()):
        pass
    monkeypatch.setattr(server, "START_TIMEOUT_SECONDS", 30)
    with pytest.raises(ServerError, match="ended with exit code 3") as error, running(["sh", "-c", "exit 3"], 1):
        pass
    assert not isinstance(error.value, TimedOutError)


def test_an_answer_that_does_not_come_in_time_is_told_from_none() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        client = Client(silent.getsockname()[1], timeout=0.1)
        with pytest.raises(TimedOutError, match=r"no answer to GET /ping within 0\.1 s"):
            client.get("/ping")
