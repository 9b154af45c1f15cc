from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from tasks.style.objective import Objective, gram, relative_error


def test_a_gram_matrix_by_hand() -> None:
    """Two channels at two places: (1, 2) and (3, 4)."""
    features = np.array([[[[1.0, 2.0], [3.0, 4.0]]]], np.float32)
    expected = [[[(1 + 9) / 2, (2 + 12) / 2], [(2 + 12) / 2, (4 + 16) / 2]]]
    np.testing.assert_allclose(ops.convert_to_numpy(gram(features)), expected)


def test_a_gram_matrix_does_not_know_places_nor_size() -> None:
    features = np.random.default_rng(1).normal(size=(1, 6, 4, 3)).astype(np.float32)
    moved = features[:, ::-1].reshape(1, 4, 6, 3)
    twice = np.concatenate([features, features], axis=1)
    for other in (moved, twice):
        np.testing.assert_allclose(ops.convert_to_numpy(gram(other)), ops.convert_to_numpy(gram(features)), rtol=1e-5)


def test_relative_errors_are_of_each_example() -> None:
    wanted = np.array([[[3.0, 4.0]], [[1.0, 0.0]]], np.float32)
    found = np.array([[[3.0, 4.0]], [[0.0, 0.0]]], np.float32)
    np.testing.assert_allclose(ops.convert_to_numpy(relative_error(found, wanted)), [0.0, 1.0], atol=1e-6)


@pytest.mark.usefixtures("small_network")
def test_a_photograph_has_its_content_and_a_painting_its_style(china: np.ndarray, flower: np.ndarray) -> None:
    objective = Objective(flower)
    content = objective.content(china[None])
    of_itself = [float(loss[0]) for loss in objective.losses(content, china[None])]
    assert of_itself[0] == pytest.approx(0, abs=1e-6)
    assert of_itself[1] > 0.01
    assert float(objective.losses(objective.content(flower[None]), flower[None])[1][0]) == pytest.approx(0, abs=1e-6)


@pytest.mark.usefixtures("small_network")
def test_the_weights_weigh_the_losses(china: np.ndarray, flower: np.ndarray) -> None:
    objective = Objective(flower, content_weight=2.0, style_weight=3.0)
    assert objective.total(0.5, 0.25) == 2 * 0.5 + 3 * 0.25


def test_it_can_be_trained_through(small_network: keras.Model, china: np.ndarray, flower: np.ndarray) -> None:
    assert small_network.trainable_variables == []
    pixels = keras.Variable(china[None].astype(np.float32))
    import tensorflow as tf

    objective = Objective(flower)
    with tf.GradientTape() as tape:
        total = sum(objective.losses(objective.content(china[None]), pixels.value))
    assert np.abs(tape.gradient(total, pixels.value).numpy()).max() > 0
