from __future__ import annotations

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from lifecycle.fingerprint import CONFIG_TAG, TAG, Fingerprint, changes_since, equal_run
from registry.candidates import NUMBER_METRIC

WANTED = Fingerprint(code={}, config={"epochs": 3}, data={}, libraries={})


@pytest.fixture
def experiment(store: MlflowClient) -> str:
    return str(store.create_experiment("made"))


def trained(client: MlflowClient, experiment: str, started: int, number: int | None) -> str:
    """The id of a finished run that trained what is wanted."""
    tags = {TAG: WANTED.digest, CONFIG_TAG: WANTED.config_digest}
    run_id = str(client.create_run(experiment, start_time=started, tags=tags).info.run_id)
    if number is not None:
        client.log_batch(run_id, [Metric(NUMBER_METRIC, number, started, 0)])
    client.set_terminated(run_id)
    return run_id


def test_the_newest_equal_run_is_the_one_logged_last_whatever_the_clock_said(
    store: MlflowClient, experiment: str
) -> None:
    trained(store, experiment, started=9_000, number=None)  # before runs were numbered
    trained(store, experiment, started=3_000, number=1)
    newest = trained(store, experiment, started=2_000, number=2)
    found = equal_run(store, experiment, WANTED)
    assert found is not None
    assert found.info.run_id == newest
    changed = changes_since(store, experiment, WANTED, {})
    assert changed is not None
    assert changed[0] == newest


def test_runs_without_a_number_are_taken_by_their_time(store: MlflowClient, experiment: str) -> None:
    newest = trained(store, experiment, started=2_000, number=None)
    trained(store, experiment, started=1_000, number=None)
    found = equal_run(store, experiment, WANTED)
    assert found is not None
    assert found.info.run_id == newest
