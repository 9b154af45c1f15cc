from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from tasks import segmentation, segmentation_config
from tasks.segmentation_losses import LOSSES, CrossEntropy, CrossEntropyAndDice, SoftDice, dice

GENERATOR = np.random.default_rng(0)
TARGETS = np.array([[0, 1, 1, 0], [0, 0, 0, 0]])
FOUND = np.array([[0.1, 0.8, 0.6, 0.5], [0.2, 0.1, 0.4, 0.3]])  # probability of class 1
OUTPUTS = np.stack([1 - FOUND, FOUND], axis=-1).astype(np.float32)


def values(loss: keras.losses.Loss, targets: Any = TARGETS, outputs: Any = OUTPUTS) -> np.ndarray:
    return ops.convert_to_numpy(loss.call(ops.convert_to_tensor(targets), ops.convert_to_tensor(outputs)))


def test_cross_entropy_of_each_item() -> None:
    expected = [-np.log([0.9, 0.8, 0.6, 0.5]).mean(), -np.log([0.8, 0.9, 0.6, 0.7]).mean()]
    np.testing.assert_allclose(values(CrossEntropy()), expected, rtol=1e-6)


def test_soft_dice_of_each_item() -> None:
    """Twice 1.4 over 2 + 2.0, and nothing over 1.0, each with one more place that is right and found."""
    np.testing.assert_allclose(values(SoftDice()), [1 - (2.8 + 1) / (4.0 + 1), 1 - 1 / 2], rtol=1e-6)


def test_the_sum_is_the_sum_and_losses_are_the_mean_of_the_items() -> None:
    both = values(CrossEntropyAndDice())
    np.testing.assert_allclose(both, values(CrossEntropy()) + values(SoftDice()), rtol=1e-6)
    assert float(CrossEntropyAndDice()(TARGETS, OUTPUTS)) == pytest.approx(both.mean(), rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_no_place_does_not_count(name: str) -> None:
    loss = LOSSES[name]()
    targets = np.pad(TARGETS, ((0, 0), (0, 3)), constant_values=-1)
    outputs = np.pad(OUTPUTS, ((0, 0), (0, 3), (0, 0)), constant_values=0.5)
    np.testing.assert_allclose(values(loss, targets, outputs), values(loss), rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("sides", [(4, 5), (2, 3, 4)])
def test_gradients_are_those_of_small_changes(name: str, sides: tuple[int, ...]) -> None:
    """Central differences of the loss after a softmax, in the direction of each of some logits."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Keras has no gradient that all backends share")
    import tensorflow as tf

    targets = GENERATOR.integers(3, size=(2, *sides))
    targets[1] = 0  # all background
    logits = GENERATOR.normal(size=(2, *sides, 3))
    loss = LOSSES[name](dtype="float64")

    def value(point: Any) -> Any:
        return loss(targets, ops.softmax(point))

    with tf.GradientTape() as tape:
        point = tf.Variable(logits)
        found = value(point)
    gradient = tape.gradient(found, point).numpy()
    assert np.isfinite(gradient).all()
    for place in GENERATOR.permutation(logits.size)[:20]:
        step = np.zeros_like(logits)
        step.flat[place] = 1e-5
        difference = (float(value(tf.constant(logits + step))) - float(value(tf.constant(logits - step)))) / 2e-5
        assert gradient.flat[place] == pytest.approx(difference, abs=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_finite_where_there_is_nothing_to_find_and_least_where_nothing_is_found(name: str) -> None:
    targets = np.zeros((1, 6, 6), int)
    losses = []
    for share in (1.0, 0.5, 0.0):
        outputs = np.broadcast_to(np.array([1 - share, share], np.float32), (1, 6, 6, 2))
        losses.append(float(values(LOSSES[name](), targets, outputs)[0]))
    assert np.isfinite(losses).all()
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == pytest.approx(0, abs=1e-6)


def test_dice_is_that_of_the_scores() -> None:
    targets = GENERATOR.integers(3, size=(5, 4, 6))
    targets[0] = 0
    outputs = GENERATOR.dirichlet(np.ones(3), targets.shape).astype(np.float32)
    outputs[0] = [1, 0, 0]
    expected = segmentation.overlap(targets, outputs.argmax(axis=-1), 3).dice()[:, 1:].mean(axis=1)
    np.testing.assert_allclose(ops.convert_to_numpy(dice(targets, outputs)), expected, rtol=1e-6)
    assert expected[0] == 1


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_made_again_of_their_configuration(name: str) -> None:
    loss = LOSSES[name]()
    assert type(keras.losses.deserialize(keras.losses.serialize(loss))) is type(loss)
    assert set(LOSSES) == set(segmentation_config.LOSSES)
