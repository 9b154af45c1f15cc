"""Train, evaluate and promote in one go."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from mlflow import MlflowClient

from registry.ledger import ALIAS
from steps.main import lifecycle
from tests.lifecycle.models import NOTE, TASK, last_run, trained


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_main_trains_evaluates_and_promotes_as_children_of_one_run(store: MlflowClient) -> None:
    lifecycle(TASK, TASK.configure(epochs=6, learning_rate=5e-3))
    experiment = store.get_experiment_by_name("digits")
    assert experiment is not None
    runs = {run.data.tags["step"]: run for run in store.search_runs([experiment.experiment_id])}
    assert set(runs) == {"main", "train", "evaluate", "promote", "ledger"}
    parents = {step: run.data.tags.get("mlflow.parentRunId") for step, run in runs.items()}
    parent = runs["main"].info.run_id
    assert parents == {"main": None, "train": parent, "evaluate": parent, "promote": parent, "ledger": None}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert "The champion changed." in runs["main"].data.tags[NOTE]
    assert store.get_model_version_by_alias("digits", ALIAS)


def test_main_says_where_another_model_is_better(
    trained_store: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good, better, _ = trained(trained_store)
    monkeypatch.setattr("steps.main.train", lambda *_: SimpleNamespace(model_uri=good.uri))
    monkeypatch.setattr("steps.main.evaluate", lambda *_: good)
    monkeypatch.setattr("steps.main.promote", lambda *_: True)
    lifecycle(TASK, TASK.configure(seed=1))
    beaten = f"The model just trained is behind {better.name} ({better.uri}) on the validation split."
    assert beaten in capsys.readouterr().out
    assert beaten in last_run(trained_store, "main").data.tags[NOTE]
