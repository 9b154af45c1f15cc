"""`mlflow run` as users type it, on a repository made of the present files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.conftest import ROOMS, ROOT

FILES = ("MLproject", "conda.yaml", "requirements.txt")


@pytest.fixture
def git_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A URL that git takes for a bare clone on this machine."""
    work = tmp_path / "work"
    for folder in ROOMS:
        shutil.copytree(ROOT / folder, work / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in FILES:
        shutil.copy(ROOT / file, work)
    author = ["-c", "user.name=a", "-c", "user.email=a@example.invalid"]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], [*author, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", "-C", work, *command], check=True)
    subprocess.run(["git", "clone", "-q", "--bare", work, tmp_path / "project.git"], check=True)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{tmp_path}/.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://example.invalid/")
    return "https://example.invalid/project.git"


@pytest.mark.slow
def test_a_git_url_from_another_folder_logs_into_the_callers_store(
    git_url: str, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = tmp_path / "caller"
    caller.mkdir()
    shutil.copy(empty_database, caller / "mlflow.db")  # where MLflow looks when nothing is set
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    command = [sys.executable, "-m", "mlflow", "run", git_url, "-e", "train", "--env-manager", "local"]
    command += ["-P", "task=digits", "-P", "epochs=2", "-P", "learning_rate=1e-3"]
    result = subprocess.run(command, cwd=caller, capture_output=True, text=True, timeout=180, check=False)
    assert result.returncode == 0, result.stderr

    client = MlflowClient(f"sqlite:///{caller}/mlflow.db")
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["config.learning_rate"] == "0.001"
    assert len(run.data.tags["git.commit"]) == 40
    assert run.data.tags["git.dirty"] == "false"
    assert (caller / "mlruns" / "digits" / run.info.run_id / "artifacts" / "figures" / "curves.png").exists()
    (launch,) = client.search_runs(["0"])
    assert launch.info.run_name == "launch of dense, seed 1"
    assert launch.data.tags["launched_run"] == run.info.run_id


@pytest.mark.slow
def test_a_mistake_ends_the_launch_failed(tmp_path: Path, store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    command = [sys.executable, "-m", "mlflow", "run", str(ROOT), "-e", "train", "--env-manager", "local"]
    result = subprocess.run(
        [*command, "-P", "epochs=many"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode != 0
    assert "error: --epochs: expected a whole number, received 'many'" in result.stderr
    (launch,) = store.search_runs(["0"])
    assert launch.info.status == "FAILED"
    assert "expected a whole number" in launch.data.tags["mlflow.note.content"]
