from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest

from serving.package import run_onnx, weights_digest
from tasks.contract import Split, UserError, get_task
from tasks.style import training
from tasks.style.config import FEED_FORWARD
from tasks.style.objective import Objective

TASK = get_task("style")
SMALL = dataclasses.replace(FEED_FORWARD, width=4, blocks=1, epochs=1, batch_size=2)


@pytest.mark.parametrize("shape", [(64, 64), (37, 50), (1, 1), (2, 130)])
def test_pictures_are_as_large_as_their_photographs(shape: tuple[int, int]) -> None:
    photographs = np.random.default_rng(1).integers(0, 256, (2, *shape, 3), np.uint8)
    pictures = TASK.build(SMALL).predict(photographs, verbose=0)
    assert pictures.shape == photographs.shape
    assert np.isfinite(pictures).all()
    assert pictures.min() >= 0
    assert pictures.max() <= 255


def painting_network() -> keras.Model:
    """With a strong last layer: what an untrained network paints is nearly grey, so that no error would show."""
    keras.utils.set_random_seed(1)
    model = TASK.build(SMALL)
    last = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)][-1]
    last.set_weights([np.random.default_rng(1).normal(0, 0.5, weights.shape) for weights in last.get_weights()])
    return model


def test_one_graph_serves_every_size(tmp_path: Path) -> None:
    model = painting_network()
    model.predict(np.zeros((1, 64, 64, 3), np.uint8), verbose=0)
    model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    for shape in ((64, 64), (48, 80), (33, 61)):
        photographs = np.random.default_rng(1).integers(0, 256, (2, *shape, 3), np.uint8)
        expected = model.predict(photographs, verbose=0)
        assert np.abs(expected[0] - expected[1]).mean() > 1
        np.testing.assert_allclose(run_onnx(tmp_path / "model.onnx", photographs), expected, atol=0.05)


def test_each_picture_is_normalised_by_itself() -> None:
    """What else is in the batch does not matter, whether in training or not."""
    model = painting_network()
    photographs = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), np.uint8)
    together = model.predict(photographs, verbose=0)
    alone = model.predict(photographs[:1], verbose=0)
    np.testing.assert_allclose(alone[0], together[0], atol=1e-2)
    training = keras.ops.convert_to_numpy(model(photographs, training=True))
    np.testing.assert_allclose(training, together, atol=1e-2)
    assert np.abs(together[0] - together[1]).mean() > 1


@pytest.mark.slow
@pytest.mark.usefixtures("small_network")
def test_a_network_continued_after_an_epoch_ends_with_the_same_weights(
    china: np.ndarray, flower: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "painting", lambda: flower)
    squares = np.stack([np.roll(china, shift, axis=1)[:, :96] for shift in range(0, 64, 16)])
    split, config = Split(squares, squares), dataclasses.replace(SMALL, epochs=3)

    def built() -> keras.Model:
        keras.utils.set_random_seed(1)
        return TASK.build(config)

    whole = built()
    TASK.fit(whole, split, split, config)
    first = built()
    stop = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(first, "stop_training", True))
    TASK.fit(first, split, split, config, callbacks=[stop])
    first.save(tmp_path / "checkpoint.keras")
    continued = keras.models.load_model(tmp_path / "checkpoint.keras")
    TASK.fit(continued, split, split, config, initial_epoch=1)
    assert weights_digest(continued) == weights_digest(whole) != weights_digest(first)


@pytest.mark.usefixtures("small_network")
def test_training_lowers_the_loss(china: np.ndarray, flower: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "painting", lambda: flower)
    squares = np.stack([np.roll(china, shift, axis=1)[:, :96] for shift in range(0, 64, 8)])
    split = Split(squares, squares)
    keras.utils.set_random_seed(1)
    model = TASK.build(SMALL)
    losses: list[float] = []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: losses.append(logs["val_loss"]))
    TASK.fit(model, split, split, dataclasses.replace(SMALL, epochs=8, learning_rate=3e-3), callbacks=[watch])
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.usefixtures("small_network")
def test_what_is_in_a_photograph_is_computed_as_the_objective_does(china: np.ndarray, flower: np.ndarray) -> None:
    objective = Objective(flower)
    photographs = np.stack([np.roll(china, shift, axis=1) for shift in range(training.AT_ONCE + 1)])
    expected = keras.ops.convert_to_numpy(objective.content(photographs))
    found = training.with_content(photographs, objective)
    np.testing.assert_array_equal(found.inputs, photographs)
    np.testing.assert_allclose(found.targets, expected, rtol=1e-3, atol=1e-6)


def test_impossible_configurations_are_refused() -> None:
    for name, value, message in (
        ("width", "0", "width must be at least 1"),
        ("blocks", "0", "blocks must be at least 1"),
    ):
        with pytest.raises(UserError, match=message):
            TASK.configure(overrides={name: value})
