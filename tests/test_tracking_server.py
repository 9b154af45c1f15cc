"""The lifecycle on a tracking server, as a team has one."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from registry.ledger import ALIAS
from tasks.contract import get_task
from tests.conftest import Step


@pytest.mark.slow
def test_what_is_downloaded_from_the_server_does_not_stay(
    tracking_server: MlflowClient, step: Step, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    for seed in ("1", "2"):  # the second promotion compares with the first
        result = step("main", "--task", "digits", "--epochs", "3", "--seed", seed, TMPDIR=str(temporary))
        assert result.returncode == 0, result.stderr
    version = tracking_server.get_model_version_by_alias("digits", ALIAS)
    served = mlflow.pyfunc.load_model(f"models:/digits/{version.version}", dst_path=str(tmp_path))
    inputs = get_task("digits").load("validation").inputs
    assert served.predict(inputs[:5].tolist()).shape == (5, 10)
    left = sorted(file.name for file in temporary.rglob("*") if file.is_file())
    assert left == ["machine", "machine.lock"]  # what tells this machine from others, kept once
