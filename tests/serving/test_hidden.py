from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from served.session import HIDDEN, Session
from serving.export import export
from serving.hidden import expose_hidden

ITEMS = np.random.default_rng(1).integers(0, 255, (5, 8, 8), np.uint8)


def exported(model: keras.Model, folder: Path) -> Session:
    export(model, folder / "model.onnx")
    expose_hidden(folder / "model.onnx", "")
    return Session(folder / "model.onnx")


def classifier(*hidden: keras.Layer) -> keras.Model:
    keras.utils.set_random_seed(1)
    items = keras.Input((8, 8), dtype="uint8")
    x = layers.Rescaling(1 / 255)(items)
    for layer in hidden:
        x = layer(x)
    return keras.Model(items, layers.Dense(3, activation="softmax")(x))


def test_it_is_what_the_last_layer_is_fed_with(tmp_path: Path) -> None:
    dense = layers.Dense(7, activation="relu")
    model = classifier(layers.Flatten(), layers.Dense(9, activation="relu"), dense, layers.Dropout(0.5))
    session = exported(model, tmp_path)
    expected = keras.Model(model.input, dense.output).predict(ITEMS, verbose=0)
    np.testing.assert_allclose(session.run(ITEMS, hidden=True)[HIDDEN], expected, atol=1e-5)


def test_who_does_not_ask_gets_the_answer_alone(tmp_path: Path) -> None:
    model = classifier(layers.Flatten(), layers.Dense(7))
    session = exported(model, tmp_path)
    ((name, answer),) = session.run(ITEMS).items()
    assert session.outputs == [name]
    np.testing.assert_allclose(answer, model.predict(ITEMS, verbose=0), atol=1e-5)


def test_of_a_convolutional_network_it_is_the_pooled_features(tmp_path: Path) -> None:
    pool = layers.GlobalAveragePooling2D()
    model = classifier(layers.Reshape((8, 8, 1)), layers.Conv2D(4, 3, activation="relu"), pool)
    expected = keras.Model(model.input, pool.output).predict(ITEMS, verbose=0)
    np.testing.assert_allclose(exported(model, tmp_path).run(ITEMS, hidden=True)[HIDDEN], expected, atol=1e-5)


def test_what_is_no_vector_is_left_out(tmp_path: Path) -> None:
    items = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(items)
    model = keras.Model(items, layers.Conv2D(2, 1, activation="softmax")(x))
    session = exported(model, tmp_path)
    assert not session.has_hidden
    assert len(session.run(ITEMS[..., None].astype(np.float32), hidden=True)) == 1


@pytest.mark.parametrize("units", [1, 2])
def test_a_graph_without_layers_has_none(tmp_path: Path, units: int) -> None:
    items = keras.Input((units,))
    assert not exported(keras.Model(items, layers.Rescaling(2.0)(items)), tmp_path).has_hidden
