"""What a model's card says, and that it says no more than what is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from mlflow import MlflowClient

from forms.items.row import Row
from registry import candidates, card
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
    text = render(TASK, TRAINED)
    assert text.startswith("# digits: dense, seed 1\n\nRecognise a handwritten digit")
    assert "| configuration | model dense, epochs 25 |" in text
    assert "| train split | 1077 examples, SHA-256 `0123456789ab…` |" in text
    assert "| accuracy | 0.9700 | – | – |" in text
    assert "train_loss" not in text
    assert "The test split has not been read yet." in text
    assert "It has not been rehearsed yet." in text
    assert "has to be at least 0.9, and no worse than the champion's by more than 0.02" in text
    assert "An item is 8×8 uint8" in text


@pytest.mark.parametrize(("higher_is_better", "worst"), [(True, ["b", "a", "d"]), (False, ["c", "a", "d"])])
def test_the_slices_that_fare_worst_come_first(higher_is_better: bool, worst: list[str]) -> None:
    task = dataclasses.replace(TASK, primary=dataclasses.replace(TASK.primary, higher_is_better=higher_is_better))
    scores = Scores(np.array([1.0, 0.0, 0.1, 0.9, 0.5]), np.array(["a", "a", "b", "c", "d"]), {})
    assert list(worst_slices(task, scores)) == worst
    assert worst_slices(task, scores)["a"] == 0.5


@pytest.fixture
def described(trained_store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Move]], str]:
    """Describes a version that was rehearsed, given the ledger's moves, and gives its description."""
    good = models_of(trained_store, TASK)[-1]
    version = register(trained_store, TASK, good)
    measured = '{"ready_seconds": 1, "parity": 1e-7, "golden": 3, "hostile": 27, "p50_ms": 1.25, "p95_ms": 2.5}'
    candidates.annotate(trained_store, version, candidates.REHEARSAL_TAG, measured)

    def describe_after(moves: list[Move]) -> str:
        monkeypatch.setattr(card, "history", lambda *_: moves)
        text = describe(trained_store, TASK, good)
        assert trained_store.get_logged_model(good.model_id).tags["mlflow.note.content"] == text
        assert trained_store.get_model_version("digits", version.version).description == text
        return text

    return describe_after


def test_a_promoted_version_shows_its_figures_and_what_became_of_it(
    trained_store: MlflowClient, described: Callable[[list[Move]], str]
) -> None:
    good = models_of(trained_store, TASK)[-1]
    text = described(
        [
            Move(1, "promotion", None, "1", "It reaches the floor.", time="2026-01-01T00:00:00Z"),
            Move(2, "promotion", "1", "2", "Better.", time="2026-01-02T00:00:00Z"),
            Move(3, "rollback", "2", "1", "Rolled back from version 2.", time="2026-01-03T00:00:00Z"),
        ]
    )
    assert f"| {good.metrics['test_accuracy']:.4f} | {good.metrics['test_accuracy_low']:.4f} to " in text
    assert "model dense, epochs 6, batch_size" in text
    assert "The slices that fare worst on the test split, by their mean: `" in text
    assert "refused 27 hostile ones, and took 1.2 ms for one item (95th percentile 2.5 ms)" in text
    assert "**2026-01-01T00:00:00Z** It became the champion (promotion). It reaches the floor." in text
    assert "**2026-01-02T00:00:00Z** It was replaced; version 2 serves since then." in text
    assert "models:/digits@champion" in trained_store.get_registered_model("digits").description


def test_a_version_says_that_it_was_rolled_back(described: Callable[[list[Move]], str]) -> None:
    assert "It was rolled back, and version 7 serves since then." in described([Move(1, "rollback", "1", "7", "")])


def test_a_refused_version_says_why(trained_store: MlflowClient, described: Callable[[list[Move]], str]) -> None:
    version = trained_store.get_model_version("digits", "1")
    candidates.annotate(trained_store, version, candidates.GATE_TAG, "It is worse than the champion.")
    candidates.annotate(trained_store, version, candidates.REHEARSAL_TAG, f"{candidates.FAILED}it refused an item")
    text = described([Move(1, "promotion", None, "7", "Better.")])
    assert "**It was not promoted.** It is worse than the champion." in text
    assert "**It did not pass:** it refused an item." in text


@pytest.mark.parametrize("name", ["digits", "mnist", "cifar10", "style"])
def test_every_task_says_what_it_is_not_for(name: str) -> None:
    task = get_task(name)
    assert task.limits
    assert task.limits in render(task, TRAINED)


def test_the_call_is_one_for_the_form_of_its_items() -> None:
    row = dataclasses.replace(TASK, item=Row(("age", "bmi"), (52, 24.5)))
    assert """-d '{"inputs": [{"age": 52, "bmi": 24.5}]}'""" in render(row, TRAINED)
    assert "PNG" not in render(row, TRAINED)
    assert "of a PNG or JPEG file or of the raw values." in render(TASK, TRAINED)
    assert "base64 < item.png" in render(TASK, TRAINED)
    assert "of a PNG or JPEG file. To" in render(get_task("style"), TRAINED)
