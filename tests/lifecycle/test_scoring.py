from __future__ import annotations

import dataclasses

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from lifecycle.scoring import bootstrap, evaluate, latencies, predict
from registry.candidates import (
    EVALUATION_TAG,
    NUMBER_METRIC,
    PREDICTIONS_FILE,
    Candidate,
    find,
    models_of,
    scores,
)
from serving.rehearsal import RehearsalError
from tasks import classification
from tasks.contract import Scores, Split, SplitName, UserError, get_task

TASK = get_task("digits")


@pytest.fixture
def candidate(trained_store: MlflowClient) -> Candidate:
    """The second model of the shared store, trained longest."""
    return models_of(trained_store, TASK)[1]


def test_the_served_model_is_scored_on_the_test_split(candidate: Candidate, trained_store: MlflowClient) -> None:
    test = TASK.load("test")
    outputs = mlflow.pyfunc.load_model(candidate.uri).predict(list(test.inputs))
    expected = TASK.metrics(TASK.scores(test, outputs))
    for name, value in expected.items():
        assert candidate.metrics[f"test_{name}"] == pytest.approx(value)
        assert candidate.metrics[f"test_{name}_low"] <= value <= candidate.metrics[f"test_{name}_high"]
    assert expected["accuracy"] > 0.93


def test_predictions_are_kept_for_the_gate(candidate: Candidate, trained_store: MlflowClient) -> None:
    test = TASK.load("test")
    kept = scores(trained_store, candidate)
    assert kept is not None
    assert kept[1] == test.digest
    assert len(kept[0].score) == len(test)
    assert kept[0].score.mean() == pytest.approx(candidate.metrics["test_accuracy"])
    assert kept[0].slice.tolist() == [str(target) for target in test.targets]
    path = mlflow.artifacts.download_artifacts(run_id=candidate.evaluation_run, artifact_path=PREDICTIONS_FILE)
    classes = {"slice", "predicted", "target_class", "predicted_class"}
    assert classes | {"score", "confidence", "cross_entropy"} == set(pd.read_parquet(path).columns)


def test_latest_is_the_model_trained_last(trained_store: MlflowClient) -> None:
    assert find(trained_store, TASK, "latest").name == "linear, seed 1"
    assert [model.metrics[NUMBER_METRIC] for model in models_of(trained_store, TASK)] == [3, 2, 1]


def test_the_best_on_validation_can_be_evaluated_though_it_never_was(
    candidate: Candidate, trained_store: MlflowClient
) -> None:
    assert candidate.metrics["val_accuracy"] == max(m.metrics["val_accuracy"] for m in models_of(trained_store, TASK))
    trained_store.delete_logged_model_tag(candidate.model_id, EVALUATION_TAG)
    found = evaluate(TASK, "best")
    assert found.model_id == candidate.model_id
    assert found.evaluation_run not in (None, candidate.evaluation_run)


def test_a_model_that_does_not_answer_the_test_split_is_broken() -> None:
    class Silent:
        def predict(self, items: list[np.ndarray]) -> np.ndarray:
            raise ValueError("expected 8×8\nreceived 9×9")

    with pytest.raises(RehearsalError, match="it does not answer the test split: expected 8×8 received 9×9"):
        predict(Silent(), np.zeros((3, 9, 9)))  # type: ignore[arg-type]


def test_every_way_to_name_a_model_finds_it(candidate: Candidate, trained_store: MlflowClient) -> None:
    trained_store.create_registered_model("digits")
    trained_store.create_model_version("digits", source=candidate.uri, run_id=candidate.run_id)
    trained_store.set_registered_model_alias("digits", "champion", "1")
    names = (candidate.uri, candidate.model_id, f"runs:/{candidate.run_id}", f"runs:/{candidate.run_id}/dense")
    versions = ("models:/digits/1", "models:/digits/latest", "models:/digits@champion")
    for uri in (*names, candidate.run_id, *versions):
        assert find(trained_store, TASK, uri) == candidate


def test_a_model_of_another_task_is_refused(candidate: Candidate, trained_store: MlflowClient) -> None:
    with pytest.raises(UserError, match=r"Expected a model of the task mnist, but .* is one of digits"):
        find(trained_store, get_task("mnist"), candidate.uri)


def test_a_run_without_a_model_is_refused(candidate: Candidate, trained_store: MlflowClient) -> None:
    assert candidate.evaluation_run is not None
    with pytest.raises(UserError, match="logged no model"):
        find(trained_store, TASK, f"runs:/{candidate.evaluation_run}")


def test_evaluating_twice_gives_the_same_numbers(candidate: Candidate, trained_store: MlflowClient) -> None:
    again = evaluate(TASK, candidate.uri)
    assert again.evaluation_run != candidate.evaluation_run
    for name, value in candidate.metrics.items():
        if name.startswith("test_"):
            assert again.metrics[name] == value


def test_the_bootstrap_interval_is_near_the_textbooks() -> None:
    """900 of 1,000 right: the normal interval is 0.9 ± 1.96 · sqrt(0.9 · 0.1 / 1000)."""
    outputs = np.tile([0.8, 0.2], (1000, 1))
    outputs[:100] = [0.3, 0.7]
    split = Split(np.zeros(1000), np.zeros(1000, int))
    interval = bootstrap(classification.metrics, classification.scores(("a", "b"), split, outputs))["accuracy"]
    assert interval.value == 0.9
    assert interval.low == pytest.approx(0.9 - 0.0186, abs=0.003)
    assert interval.high == pytest.approx(0.9 + 0.0186, abs=0.003)


def test_groups_are_resampled_and_not_the_examples_in_them() -> None:
    """Each example twice is no more than each once."""
    once = Scores(np.random.default_rng(0).normal(size=40), np.full(40, "all"), {})
    twice = dataclasses.replace(once.take(np.repeat(np.arange(40), 2)), groups=np.repeat(np.arange(40), 2))

    def mean(scores: Scores) -> dict[str, float]:
        return {"mean": float(scores.score.mean())}

    expected = bootstrap(mean, once)["mean"]
    assert dataclasses.astuple(bootstrap(mean, twice)["mean"]) == pytest.approx(dataclasses.astuple(expected))
    wrong = bootstrap(mean, dataclasses.replace(twice, groups=None))["mean"]
    assert wrong.high - wrong.low < 0.8 * (expected.high - expected.low)


def test_groups_of_the_split_are_kept_for_the_gate(candidate: Candidate, trained_store: MlflowClient) -> None:
    groups = np.arange(len(TASK.load("test"))) // 3

    def load(name: SplitName) -> Split:
        split = TASK.load(name)
        return dataclasses.replace(split, groups=groups if name == "test" else None)

    kept = scores(trained_store, evaluate(dataclasses.replace(TASK, load=load), candidate.uri))
    assert kept is not None
    assert kept[0].groups is not None
    assert kept[0].groups.tolist() == groups.tolist()
    assert "group" not in kept[0].columns


class CountingModel:
    def __init__(self) -> None:
        self.sizes: list[int] = []

    def predict(self, items: list[np.ndarray]) -> np.ndarray:
        self.sizes.append(len(items))
        return np.stack(items)


def test_a_ragged_last_batch_is_not_dropped() -> None:
    model = CountingModel()
    inputs = np.arange(600).reshape(600, 1)
    np.testing.assert_array_equal(predict(model, inputs), inputs)  # type: ignore[arg-type]
    assert model.sizes == [256, 256, 88]


def test_large_inputs_are_sent_a_few_at_a_time() -> None:
    """A served model takes pictures of 2^20 pixels in all."""
    model = CountingModel()
    predict(model, np.zeros((18, 256, 256, 3), np.uint8))  # type: ignore[arg-type]
    assert model.sizes == [5, 5, 5, 3]


def test_latency_is_taken_of_one_item_and_of_a_batch() -> None:
    model = CountingModel()
    result = latencies(model, np.zeros((300, 1)))  # type: ignore[arg-type]
    assert set(model.sizes) == {1, 256}
    assert 0 < result["latency_item_ms"] <= result["latency_item_p95_ms"]
    assert {"latency_batch_256_ms", "latency_batch_256_p95_ms"} < result.keys()
    few = latencies(CountingModel(), np.zeros((10, 1)))  # type: ignore[arg-type]
    assert {"latency_batch_10_ms", "latency_batch_10_p95_ms"} < few.keys()


@pytest.mark.slow
def test_a_baseline_is_scored_beside_the_model(candidate: Candidate, trained_store: MlflowClient) -> None:
    def always_seven(split: Split) -> np.ndarray:
        return np.eye(10, dtype=np.float32)[np.full(len(split), 7)]

    found = evaluate(dataclasses.replace(TASK, baseline=always_seven), candidate.uri, baseline=True)
    sevens = float(np.mean(TASK.load("test").targets == 7))
    assert found.evaluation_run is not None
    logged = trained_store.get_run(found.evaluation_run).data.metrics
    assert logged["test_baseline_accuracy"] == pytest.approx(sevens)
    assert logged["test_accuracy"] == found.metrics["test_accuracy"] == candidate.metrics["test_accuracy"]
    assert "test_baseline_accuracy" not in found.metrics  # which are the model's own
    names = {artifact.path for artifact in trained_store.list_artifacts(found.evaluation_run, "figures")}
    assert {"figures/confusion_matrix.png", "figures/baseline_confusion_matrix.png"} <= names


def test_a_baseline_that_is_not_there_is_told(candidate: Candidate) -> None:
    with pytest.raises(UserError, match=r"digits has no baseline to score\. Leave out baseline=true\."):
        evaluate(TASK, candidate.uri, baseline=True)
