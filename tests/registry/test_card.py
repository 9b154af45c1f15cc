"""What a model's card says, and that it says no more than what is known."""

from __future__ import annotations

import numpy as np
import pytest
from mlflow import MlflowClient

from registry import candidates
from registry.candidates import models_of, register
from registry.card import Facts, describe, render, worst_slices
from registry.ledger import Move
from tasks.contract import Scores, get_task

TASK = get_task("digits")
TRAINED = Facts(
    name="dense, seed 1",
    config={"model": "dense", "epochs": 25},
    run={"data.train_digest": "0123456789abcdef", "data.train_examples": "1077", "model.item": "8×8 uint8"},
    metrics={"val_accuracy": 0.97, "train_loss": 0.01},
)


def test_before_its_evaluation_a_card_has_what_was_measured_in_training_only() -> None:
    card = render(TASK, TRAINED)
    assert card.startswith("# digits: dense, seed 1\n\nRecognise a handwritten digit")
    assert "| configuration | model dense, epochs 25 |" in card
    assert "| train split | 1077 examples, SHA-256 `0123456789ab…` |" in card
    assert "| accuracy | 0.9700 | – | – |" in card
    assert "train_loss" not in card
    assert "The test split has not been read yet." in card
    assert "It has not been rehearsed yet." in card
    assert "has to be at least 0.9, and no worse than the champion's by more than 0.02" in card
    assert "An item is 8×8 uint8" in card


def test_worst_slices_come_first() -> None:
    scores = Scores(np.array([1.0, 0.0, 1.0, 1.0, 0.5]), np.array(["a", "a", "b", "c", "d"]), {})
    assert worst_slices(TASK, scores) == {"a": 0.5, "d": 0.5, "b": 1.0}


def test_a_promoted_version_shows_its_figures_and_what_became_of_it(trained_store: MlflowClient) -> None:
    good = models_of(trained_store, TASK)[-1]
    version = register(trained_store, TASK, good)
    measured = '{"ready_seconds": 1, "parity": 1e-7, "golden": 3, "hostile": 27, "p50_ms": 1.25, "p95_ms": 2.5}'
    candidates.annotate(trained_store, version, candidates.REHEARSAL_TAG, measured)
    version = trained_store.get_model_version("digits", version.version)
    moves = [
        Move(1, "promotion", None, "1", "It reaches the floor.", time="2026-01-01T00:00:00Z"),
        Move(2, "promotion", "1", "2", "Better.", time="2026-01-02T00:00:00Z"),
        Move(3, "rollback", "2", "1", "Rolled back from version 2.", time="2026-01-03T00:00:00Z"),
    ]
    describe(trained_store, TASK, good, version, moves)

    card = trained_store.get_model_version("digits", version.version).description
    assert card == trained_store.get_logged_model(good.model_id).tags["mlflow.note.content"]
    assert f"| {good.metrics['test_accuracy']:.4f} | {good.metrics['test_accuracy_low']:.4f} to " in card
    assert "Worst on the test split: `" in card
    assert "refused 27 hostile ones, and took 1.2 ms for one item (95th percentile 2.5 ms)" in card
    assert "**2026-01-01T00:00:00Z** It became the champion (promotion). It reaches the floor." in card
    assert "**2026-01-02T00:00:00Z** It was replaced; version 2 serves since then." in card
    assert "models:/digits@champion" in trained_store.get_registered_model("digits").description


def test_a_version_says_that_it_was_rolled_back(trained_store: MlflowClient) -> None:
    good = models_of(trained_store, TASK)[-1]
    version = register(trained_store, TASK, good)
    moves = [Move(1, "rollback", str(version.version), "7", "")]
    describe(trained_store, TASK, good, version, moves)
    card = str(trained_store.get_model_version("digits", version.version).description)
    assert "It was rolled back, and version 7 serves since then." in card


@pytest.mark.parametrize("name", ["digits", "mnist", "cifar10", "style"])
def test_every_task_says_what_it_is_not_for(name: str) -> None:
    task = get_task(name)
    assert task.limits
    assert task.limits in render(task, TRAINED)
