"""What is told at the end of a step."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from steps import next_steps


def test_the_commands_stand_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    next_steps.show(("score it", "mlflow run . -e evaluate"), ("look", "mlflow ui"))
    assert capsys.readouterr().out == "\nNext:\n  score it  mlflow run . -e evaluate\n  look      mlflow ui\n"


def test_a_run_in_the_usual_store_is_shown_by_a_plain_mlflow_ui(
    store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = store.create_run("0")
    path = f"then http://127.0.0.1:5000/#/experiments/0/runs/{run.info.run_id}"
    monkeypatch.chdir(tmp_path)
    assert next_steps.page(run.info.run_id) == f"mlflow ui   {path}"
    monkeypatch.chdir(tmp_path.parent)
    elsewhere = f"--backend-store-uri sqlite:///{tmp_path}/mlflow.db"
    assert next_steps.page(run.info.run_id) == f"mlflow ui {elsewhere}   {path}"


def test_a_run_of_a_server_has_its_page_there(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    run = store.create_run("0")
    monkeypatch.setattr(mlflow, "MlflowClient", lambda: store)
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: "http://the-server:5000/")
    assert next_steps.page(run.info.run_id) == f"http://the-server:5000/#/experiments/0/runs/{run.info.run_id}"
