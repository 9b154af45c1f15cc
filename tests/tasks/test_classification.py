from __future__ import annotations

import io

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, log_loss

from forms import reliability
from tasks import classification
from tasks.contract import Ragged, Scores, Split

# Five examples of three classes; class 2 is never right, the third example is wrong.
TARGETS = np.array([0, 1, 1, 0, 1])
OUTPUTS = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.7, 0.3, 0.0], [0.6, 0.4, 0.0], [0.25, 0.5, 0.25]])


def scored(targets: np.ndarray, outputs: np.ndarray) -> Scores:
    return classification.scores(list("abcdefghij"), Split(np.zeros(len(targets)), targets), outputs)


def test_metrics_by_hand() -> None:
    metrics = classification.metrics(scored(TARGETS, OUTPUTS))
    assert metrics["accuracy"] == pytest.approx(0.8)
    assert metrics["loss"] == pytest.approx(-np.log([0.9, 0.8, 0.3, 0.6, 0.5]).mean())
    # class 0: 2 right, 1 false alarm, 0 missed -> 0.8; class 1: 2 right, 0, 1 -> 0.8; class 2 is absent and left out
    assert metrics["f1_macro"] == pytest.approx(0.8)
    # Each confidence lies in a bin of its own but 0.9 (bin 13), 0.8 (bin 12), 0.7 (10), 0.6 (9), 0.5 (7).
    assert metrics["calibration_error"] == pytest.approx((0.1 + 0.2 + 0.7 + 0.4 + 0.5) / 5)


def test_metrics_agree_with_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    targets = generator.integers(10, size=500)
    outputs = generator.dirichlet(np.full(10, 2.0), 500)
    predicted = outputs.argmax(axis=1)
    metrics = classification.metrics(scored(targets, outputs))
    assert metrics["f1_macro"] == pytest.approx(f1_score(targets, predicted, average="macro"))
    assert metrics["loss"] == pytest.approx(log_loss(targets, outputs, labels=range(10)))
    np.testing.assert_array_equal(
        classification.confusion_matrix(targets, predicted, 10), confusion_matrix(targets, predicted, labels=range(10))
    )


def test_a_certain_mistake_costs_a_finite_amount() -> None:
    certain = scored(np.array([1]), np.array([[1.0, 0.0]]))
    assert classification.metrics(certain)["loss"] == pytest.approx(-np.log(1e-7))


def test_a_calibrated_model_has_no_calibration_error() -> None:
    correct = np.array([1] * 8 + [0] * 2)
    confidence = np.full(10, 0.8)
    assert reliability.calibration_error(confidence, correct) == pytest.approx(0.0)
    assert reliability.calibration_error(confidence, 1 - correct) == pytest.approx(0.6)


def test_full_confidence_falls_into_the_last_bin() -> None:
    confidence, accuracy, share = reliability.bins(np.array([1.0]), np.array([1]))
    assert (confidence[-1], accuracy[-1], share[-1]) == (1.0, 1.0, 1.0)
    assert share[:-1].sum() == 0


def test_scores_name_the_right_and_the_predicted_class() -> None:
    scores = scored(TARGETS, OUTPUTS)
    assert scores.score.tolist() == [1, 1, 0, 1, 1]
    assert scores.slice.tolist() == ["a", "b", "b", "a", "b"]
    assert scores.columns["predicted"].tolist() == ["a", "b", "a", "a", "b"]
    assert scores.columns["confidence"].tolist() == [0.9, 0.8, 0.7, 0.6, 0.5]


def test_metrics_by_example_do_not_depend_on_batches() -> None:
    """A ragged last batch must weigh what its examples weigh."""
    whole = classification.cross_entropy(TARGETS, OUTPUTS)
    parts = [classification.cross_entropy(TARGETS[i : i + 2], OUTPUTS[i : i + 2]) for i in (0, 2, 4)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_the_figures_of_a_model_without_a_mistake_can_be_drawn() -> None:
    split = Split(np.zeros((5, 8, 8), np.uint8), TARGETS)
    found = dict(classification.figures(list("abc"), split, np.eye(3)[TARGETS]))
    found["misclassified.png"].savefig(io.BytesIO())
    assert found["misclassified.png"].get_suptitle() == "Most wrong: right class, prediction (confidence): none"


@pytest.mark.parametrize("inputs", [np.zeros((5, 7)), Ragged([np.zeros((side, 3)) for side in (1, 2, 3, 4, 5)])])
def test_of_what_is_no_picture_of_one_size_no_sheet_is_drawn(inputs: np.ndarray | Ragged) -> None:
    found = dict(classification.figures(list("abc"), Split(inputs, TARGETS), OUTPUTS))
    assert set(found) == {"confusion_matrix.png", "recall_by_class.png", "reliability.png"}
