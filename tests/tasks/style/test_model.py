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
from tasks.style.model import ConvolutionMuon
from tasks.style.objective import Objective

TASK = get_task("style")
SMALL = dataclasses.replace(FEED_FORWARD, width=4, blocks=1, epochs=1, batch_size=2)


@pytest.mark.slow
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
    last = convolutions(model)[-1]
    last.set_weights([np.random.default_rng(1).normal(0, 0.5, weights.shape) for weights in last.get_weights()])
    return model


def convolutions(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]


def test_details_come_past_the_strides() -> None:
    model = painting_network()
    joining = convolutions(model)[-2]
    (kernel,) = joining.get_weights()
    kernel[:, :, : SMALL.width] = 0  # what came through the strides
    joining.set_weights([kernel])
    photographs = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), np.uint8)
    pictures = model.predict(photographs, verbose=0)
    assert np.abs(pictures[0] - pictures[1]).mean() > 1


def test_muon_turns_the_gradient_of_a_kernel_into_nearly_a_rotation() -> None:
    """Its singular values become about equal, whatever they were; a bias takes Adam's step, the rate."""
    generator = np.random.default_rng(1)
    kernel, bias = (keras.Variable("zeros", shape=shape) for shape in ((3, 3, 4, 8), (8,)))
    uneven, slopes = generator.normal(size=(3, 3, 4, 8)) * np.geomspace(0.01, 1, 8), generator.normal(size=8)
    optimizer = ConvolutionMuon(0.1, weight_decay=None, adam_weight_decay=None)
    optimizer.apply([keras.ops.cast(gradient, "float32") for gradient in (uneven, slopes)], [kernel, bias])
    scale = 0.1 * 0.2 * np.sqrt(36)  # as large as Adam's steps (Liu et al. 2025, section 2.2)
    values = np.linalg.svd(keras.ops.convert_to_numpy(kernel).reshape(36, 8), compute_uv=False) / scale
    assert values.max() < 1.3
    assert values.min() > 0.3
    np.testing.assert_allclose(keras.ops.convert_to_numpy(bias), -0.1 * np.sign(slopes), rtol=1e-3)


@pytest.mark.slow
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
@pytest.mark.slow
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
@pytest.mark.slow
def test_style_counts_more_from_step_to_step_in_training_and_wholly_in_validation(
    china: np.ndarray, flower: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "painting", lambda: flower)
    squares = np.stack([china[:, :96]] * 4)
    model = TASK.build(SMALL)
    TASK.fit(model, Split(squares, squares), Split(squares, squares), dataclasses.replace(SMALL, epochs=5))
    assert model.objective is not None
    pictures = model.predict(squares[:1], verbose=0)
    wanted = model.objective.content(squares[:1])
    content, style = (float(loss[0]) for loss in model.objective.losses(wanted, pictures))
    # Five epochs of two steps: the share of 0.4 grows over six steps.
    for taken, share, training_now in (
        (0, 0.4, True),
        (3, 0.7, True),
        (6, 1.0, True),
        (10, 1.0, True),
        (0, 1.0, False),
    ):
        model.optimizer.iterations.assign(taken)
        found = float(model.compute_loss(y=wanted, y_pred=pictures, training=training_now))
        assert found == pytest.approx(content + share * 5 * style, rel=1e-5)


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
