"""Candidates and versions of a store that has more of them than one page, whose clock was set back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.store.tracking import sqlalchemy_store

from registry import candidates
from registry.candidates import NoSuchModelError, best_first, find, latest, models_of, next_number, version_of
from tasks.contract import UserError, get_task

TASK = get_task("digits")
PAGE = 10_000  # of versions, which MLflow gives at once


@pytest.fixture
def experiment(store: MlflowClient) -> str:
    return str(store.create_experiment("digits"))


class Models:
    """Makes logged models as `train` logs them, without training and without files."""

    def __init__(self, client: MlflowClient, experiment: str) -> None:
        self._client = client
        self._experiment = experiment

    def add(self, accuracy: float | None = None, numbered: bool = True, evaluated: bool = False) -> str:
        """The id of a finished model with this accuracy on validation."""
        run_id = self._client.create_run(self._experiment).info.run_id
        tags = {candidates.TASK_TAG: "digits"} | ({candidates.EVALUATION_TAG: run_id} if evaluated else {})
        model = self._client.create_logged_model(self._experiment, "made", source_run_id=run_id, tags=tags)
        self._client.finalize_logged_model(model.model_id, "READY")
        if numbered:
            self.measure(run_id, model.model_id, candidates.NUMBER_METRIC, next_number(self._client, TASK))
        if accuracy is not None:
            self.measure(run_id, model.model_id, "val_accuracy", accuracy)
        return str(model.model_id)

    def measure(self, run_id: str, model_id: str, name: str, value: float, timestamp: int = 0) -> None:
        self._client.log_batch(run_id, [Metric(name, value, timestamp, 0, model_id=model_id)])


@pytest.fixture
def models(store: MlflowClient, experiment: str) -> Models:
    return Models(store, experiment)


@pytest.fixture
def set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is created, was created before what is there already."""
    times = iter(range(1_000_000, 0, -1_000))
    monkeypatch.setattr(sqlalchemy_store, "get_current_time_millis", lambda: next(times))


def registered(database: Path, count: int, tags: dict[int, dict[str, str]]) -> None:
    """Writes so many versions of digits, version n of the model m-n, straight into the store."""
    with closing(sqlite3.connect(database)) as store, store:
        store.execute("INSERT INTO registered_models (workspace, name) VALUES ('default', 'digits')")
        store.executemany(
            "INSERT INTO model_versions (workspace, name, version, source, status, current_stage, last_updated_time) "
            "VALUES ('default', 'digits', ?, ?, 'READY', 'None', ?)",
            [(number, f"models:/m-{number}", number) for number in range(1, count + 1)],
        )
        store.executemany(
            "INSERT INTO model_version_tags (workspace, name, version, key, value) "
            "VALUES ('default', 'digits', ?, ?, ?)",
            [(number, key, value) for number, found in tags.items() for key, value in found.items()],
        )


def test_beyond_a_page_of_versions_the_first_is_found_and_refusals_are_remembered(
    store: MlflowClient, tmp_path: Path
) -> None:
    refused = {number: {candidates.REFUSED_TAG: "7"} for number in range(2, PAGE + 3)}
    broken = {1: {candidates.REHEARSAL_TAG: f"{candidates.FAILED}its answers differ"}}
    registered(tmp_path / "mlflow.db", PAGE + 2, refused | broken)
    first = version_of(store, TASK, "m-1")
    assert first is not None
    assert int(first.version) == 1
    assert candidates.refused(store, TASK, champion="7") == {f"m-{number}" for number in range(1, PAGE + 3)}
    assert candidates.refused(store, TASK, champion="8") == candidates.refused(store, TASK, None) == {"m-1"}
    newest = candidates.named_version(store, "models:/digits/latest")
    assert newest is not None
    assert int(newest.version) == PAGE + 2


def test_a_model_has_its_lowest_version(store: MlflowClient, models: Models) -> None:
    store.create_registered_model("digits")
    first, second, never = models.add(), models.add(), models.add()
    for model_id in (first, second, first, second):
        store.create_model_version("digits", source=f"models:/{model_id}")
    store.set_model_version_tag("digits", "4", "touched", "last")
    lowest = version_of(store, TASK, second)
    assert lowest is not None
    assert int(lowest.version) == 2
    assert version_of(store, TASK, never) is None


@pytest.mark.usefixtures("set_back")
def test_the_latest_model_is_the_one_logged_last_whatever_the_clock_said(store: MlflowClient, models: Models) -> None:
    made = [models.add() for _ in range(3)]
    created = [store.get_logged_model(model_id).creation_timestamp for model_id in made]
    assert created == sorted(created, reverse=True)
    assert find(store, TASK, "latest").model_id == made[-1]
    assert [model.model_id for model in models_of(store, TASK)] == made[::-1]
    assert next_number(store, TASK) == 4


def test_models_without_a_number_come_before_all_others_in_the_order_of_their_time(
    store: MlflowClient, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(range(1_000, 1_000_000, 1_000))
    monkeypatch.setattr(sqlalchemy_store, "get_current_time_millis", lambda: next(times))
    without = [models.add(numbered=False) for _ in range(2)]
    assert find(store, TASK, "latest").model_id == without[1]
    monkeypatch.setattr(sqlalchemy_store, "get_current_time_millis", lambda: 1)
    numbered = models.add()
    assert [model.model_id for model in models_of(store, TASK)] == [numbered, *without[::-1]]


@pytest.mark.usefixtures("set_back")
def test_of_two_models_of_the_same_number_the_store_gives_each_page_the_same_order(
    store: MlflowClient, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        models.add(0.5, numbered=False)
    monkeypatch.setattr(candidates, "PAGE_SIZE", 2)
    assert len({model.model_id for model in models_of(store, TASK)}) == 5


@pytest.mark.usefixtures("set_back")
def test_the_best_come_first_and_of_equals_the_newest(store: MlflowClient, models: Models) -> None:
    first, second, third = models.add(0.8), models.add(0.9, evaluated=True), models.add(0.9)
    models.add(None)  # its training was killed before it was measured
    assert [model.model_id for model in best_first(store, TASK)] == [third, second, first]
    assert [model.model_id for model in best_first(store, TASK, evaluated=True)] == [second]
    assert find(store, TASK, "best").model_id == third


def test_where_lower_is_better_the_lowest_comes_first(store: MlflowClient, experiment: str) -> None:
    task = get_task("style")
    assert not task.primary.higher_is_better
    for value in (0.5, 0.3, 0.4):
        run_id = store.create_run(experiment).info.run_id
        model = store.create_logged_model(experiment, "made", run_id, tags={candidates.TASK_TAG: "style"})
        store.finalize_logged_model(model.model_id, "READY")
        store.log_batch(run_id, [Metric("val_loss", value, 0, 0, model_id=model.model_id)])
    assert [model.metrics["val_loss"] for model in best_first(store, task)] == [0.3, 0.4, 0.5]


def test_what_is_not_finished_is_no_candidate(store: MlflowClient, models: Models, experiment: str) -> None:
    finished = models.add(0.5)
    store.create_logged_model(experiment, "pending", tags={candidates.TASK_TAG: "digits"})
    assert [model.model_id for model in models_of(store, TASK)] == [finished]
    found = latest(store, TASK)
    assert found is not None
    assert found.model_id == finished


@pytest.mark.parametrize("uri", ["latest", "best"])
def test_without_a_model_the_next_step_is_told(store: MlflowClient, uri: str) -> None:
    with pytest.raises(UserError, match=r"digits has no trained model yet\. Train one first: mlflow run"):
        find(store, TASK, uri)


def test_the_latest_version_is_a_model_uri(store: MlflowClient, models: Models) -> None:
    store.create_registered_model("digits")
    with pytest.raises(NoSuchModelError, match="digits has no registered version"):
        find(store, TASK, "models:/digits/latest")
    old, new = models.add(), models.add()
    for model_id in (new, old):
        store.create_model_version("digits", source=f"models:/{model_id}")
    for uri in ("models:/digits/latest", "models:/digits/Latest", "models:/digits@latest", "models:/digits/2"):
        assert find(store, TASK, uri).model_id == old
    with pytest.raises(NoSuchModelError, match="There is no model 'models:/digits/3'"):
        find(store, TASK, "models:/digits/3")


@pytest.mark.parametrize("number", [2**63, 10**30])
def test_a_version_that_no_database_could_hold_is_no_model(store: MlflowClient, number: int) -> None:
    with pytest.raises(NoSuchModelError, match="There is no model 'models:/digits/"):
        find(store, TASK, f"models:/digits/{number}")


def test_of_several_evaluations_the_one_that_counts_gives_the_metrics(store: MlflowClient, models: Models) -> None:
    """The clock was set back between the two, and a third was killed before it counted."""
    model_id = models.add(0.5)
    experiment = store.get_logged_model(model_id).experiment_id
    for value, timestamp in ((0.7, 2_000), (0.8, 1_000)):
        run_id = store.create_run(experiment).info.run_id
        models.measure(run_id, model_id, "test_accuracy", value, timestamp)
        store.set_logged_model_tags(model_id, {candidates.EVALUATION_TAG: run_id})
    models.measure(store.create_run(experiment).info.run_id, model_id, "test_accuracy", 0.9, 3_000)
    assert find(store, TASK, model_id).metrics == {"model_number": 1, "val_accuracy": 0.5, "test_accuracy": 0.8}
