"""The models of the shared store, and what became of them."""

from __future__ import annotations

import mlflow
from mlflow import MlflowClient

from registry import candidates
from registry.candidates import Candidate, models_of
from registry.ledger import ALIAS, Ledger
from tasks.contract import get_task

TASK = get_task("digits")
NOTE = "mlflow.note.content"  # the tag of a run, model or version that holds its description


def trained(client: MlflowClient) -> tuple[Candidate, Candidate, Candidate]:
    """Good, better on validation, linear."""
    linear, better, good = models_of(client, TASK)[-3:]
    assert good.metrics["val_accuracy"] < better.metrics["val_accuracy"]
    assert linear.metrics["val_accuracy"] < better.metrics["val_accuracy"]
    return good, better, linear


def champion(client: MlflowClient) -> str:
    """The champion's logged model."""
    return candidates.model_id_of(client.get_model_version_by_alias("digits", ALIAS))


def ledger(client: MlflowClient) -> Ledger:
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    return Ledger.open(client, "digits", experiment.experiment_id)


def last_run(client: MlflowClient, step: str) -> mlflow.entities.Run:
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    return client.search_runs([experiment.experiment_id], f"tags.step = '{step}'", max_results=1)[0]
