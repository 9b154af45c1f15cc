"""A small loss network in place of VGG16, so that what is built on it can be tested without its weights."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_sample_image

from tasks.style import data, objective


@pytest.fixture
def small_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[keras.Model]:
    """Two layers of style and one of content, with fixed random weights."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    first = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    second = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(first)
    content = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(second)
    network = keras.Model(inputs, [first, second, content], name="small")
    network.trainable = False
    for module in (data, objective):
        monkeypatch.setattr(module, "loss_network", lambda: network)
    yield network


@pytest.fixture(scope="session")
def china() -> np.ndarray:
    """A photograph, (96, 128, 3) uint8."""
    return np.asarray(load_sample_image("china.jpg")[::4, ::5][:96, :128])


@pytest.fixture(scope="session")
def flower() -> np.ndarray:
    """Another, (100, 120, 3) uint8."""
    return np.asarray(load_sample_image("flower.jpg")[::4, ::5][:100, :120])
