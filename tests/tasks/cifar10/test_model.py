from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from lifecycle.resuming import restored
from tasks.cifar10.config import CNN, FAST, RESNET, ImageConfig
from tasks.cifar10.figures import figures
from tasks.cifar10.layers import Dirac, whitening_filters
from tasks.cifar10.model import backbone, build, residual_block, whiten
from tasks.cifar10.training import fit
from tasks.contract import Split, UserError, get_task

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(256, size=(24, 32, 32, 3), dtype=np.uint8)
SPLIT = Split(IMAGES, GENERATOR.integers(10, size=24).astype(np.int32))
SMALL_FAST = dataclasses.replace(FAST, width=4, epochs=2, batch_size=8)


class Stop(keras.callbacks.Callback):
    """After the first epoch."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.model.stop_training = True


@pytest.fixture(autouse=True)
def _seeded() -> None:
    keras.utils.set_random_seed(1)


def block(shape: tuple[int, ...], filters: int, strides: int = 1) -> keras.Model:
    inputs = keras.Input(shape)
    return keras.Model(inputs, residual_block(inputs, filters, strides))


def test_the_plain_network_is_the_published_recipe() -> None:
    """Conv 32, pool, conv 64, pool, dense 512, dense 10, counted by hand for filters of 3×3 without padding."""
    assert build(CNN).count_params() == (27 + 1) * 32 + (288 + 1) * 64 + (2304 + 1) * 512 + (512 + 1) * 10


def test_a_block_without_residual_is_the_identity() -> None:
    model = block((8, 8, 4), 4)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.kernel.assign(np.zeros(layer.kernel.shape))
    x = GENERATOR.random((2, 8, 8, 4)).astype(np.float32)  # as it comes from a rectified layer: not below 0
    np.testing.assert_array_equal(model.predict(x, verbose=0), x)


def test_what_is_added_is_not_rectified_before() -> None:
    """Activation after the addition: a residual of -1 takes 1 from what the shortcut brings, down to 0."""
    model = block((8, 8, 4), 4)
    normalizations = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    normalizations[-1].gamma.assign(np.zeros(4))
    normalizations[-1].beta.assign(-np.ones(4))
    x = 2 * GENERATOR.random((2, 8, 8, 4)).astype(np.float32)
    np.testing.assert_allclose(model.predict(x, verbose=0), np.maximum(x - 1, 0), atol=1e-6)


@pytest.mark.parametrize(("filters", "strides", "shape"), [(4, 1, (8, 8, 4)), (8, 1, (8, 8, 8)), (8, 2, (4, 4, 8))])
def test_a_shortcut_is_projected_only_where_the_shape_changes(
    filters: int, strides: int, shape: tuple[int, ...]
) -> None:
    model = block((8, 8, 4), filters, strides)
    assert model.output_shape == (None, *shape)
    kernels = [layer.kernel_size for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert kernels.count((1, 1)) == (shape != (8, 8, 4))
    assert kernels.count((3, 3)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [1, 3])
def test_the_gradient_reaches_every_weight(blocks: int) -> None:
    """One step moves them all: no shortcut or block is left out of the sum."""
    config = dataclasses.replace(
        RESNET, blocks=blocks, width=4, epochs=1, batch_size=24, augment=False, weight_decay=0.0
    )
    model = build(config)
    before = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    fit(model, SPLIT, SPLIT, config)
    after = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    for variable, old, new in zip(model.trainable_variables, before, after, strict=True):
        assert np.abs(new - old).max() > 0, variable.path


def test_whitened_patches_are_uncorrelated_with_variance_one() -> None:
    x = GENERATOR.normal(size=(40, 12, 12, 3)).astype(np.float32)
    x = x @ np.array([[1, 0.8, 0.7], [0, 0.5, 0.3], [0, 0, 0.4]], np.float32)  # as colours are
    filters = whitening_filters(x)
    assert filters.shape == (2, 2, 3, 24)
    np.testing.assert_array_equal(filters[..., 12:], -filters[..., :12])
    outputs = np.asarray(keras.ops.conv(x, filters.astype(np.float32), padding="valid"))
    np.testing.assert_allclose(np.cov(outputs[..., :12].reshape(-1, 12), rowvar=False), np.eye(12), atol=0.02)


def test_a_convolution_begins_by_passing_its_channels_on() -> None:
    x = GENERATOR.normal(size=(2, 5, 5, 3)).astype(np.float32)
    more = keras.layers.Conv2D(200, 3, padding="same", kernel_initializer=Dirac())
    np.testing.assert_array_equal(more(x)[..., :3], x)
    drawn = keras.ops.convert_to_numpy(more.kernel)[..., 3:]  # each filter has 27 inputs
    assert np.abs(drawn).max() <= 27**-0.5
    np.testing.assert_allclose(drawn.var(), 1 / (3 * 27), rtol=0.05)
    fewer = keras.layers.Conv2D(2, 3, padding="same", kernel_initializer=Dirac())
    np.testing.assert_array_equal(fewer(x), x[..., :2])


@pytest.mark.slow
def test_the_fast_network_is_whitened_before_it_trains() -> None:
    model, other = build(SMALL_FAST), build(SMALL_FAST)
    fit(model, SPLIT, SPLIT, SMALL_FAST)
    whiten(other, SPLIT.inputs)
    trained, untrained = (backbone(each).get_layer("whitening").get_weights()[0] for each in (model, other))
    assert untrained.any()
    np.testing.assert_array_equal(trained, untrained)


@pytest.mark.slow
def test_the_fast_network_says_the_same_of_an_image_and_of_its_mirror_image() -> None:
    model = build(SMALL_FAST)
    fit(model, SPLIT, SPLIT, SMALL_FAST)
    outputs = model.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(model.predict(IMAGES[:, :, ::-1], verbose=0), outputs, atol=1e-6)
    body = backbone(model)
    alone = body.predict(IMAGES, verbose=0)
    mirrored = body.predict(IMAGES[:, :, ::-1], verbose=0)
    assert np.abs(alone - mirrored).max() > 1e-4
    np.testing.assert_allclose(outputs, keras.ops.softmax((alone + mirrored) / 2), atol=1e-6)


@pytest.mark.slow
def test_a_fast_network_stopped_and_continued_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = build(SMALL_FAST)
    fit(whole, SPLIT, SPLIT, SMALL_FAST)
    keras.utils.set_random_seed(1)
    stopped = build(SMALL_FAST)
    fit(stopped, SPLIT, SPLIT, SMALL_FAST, callbacks=[Stop()])
    stopped.save(tmp_path / "checkpoint.keras")
    continued = restored(get_task("cifar10"), SMALL_FAST, str(tmp_path / "checkpoint.keras"))
    fit(continued, SPLIT, SPLIT, SMALL_FAST, initial_epoch=1)
    for first, second in zip(whole.get_weights(), continued.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.slow
@pytest.mark.parametrize("config", [CNN, SMALL_FAST])
def test_the_pictures_of_a_model_are_its_first_filters_and_what_they_find(config: ImageConfig, tmp_path: Path) -> None:
    drawn = dict(figures(build(config), SPLIT))
    assert list(drawn) == ["filters.png", "feature_maps.png"]
    for name, figure in drawn.items():
        figure.savefig(tmp_path / name)


@pytest.mark.parametrize(
    ("config", "change", "message"),
    [
        (CNN, {"dropout": 1.0}, "dropout must be at least 0 and below 1"),
        (CNN, {"weight_decay": -1.0}, "weight_decay must be a finite number of at least 0"),
        (CNN, {"translation": 32}, "translation must be from 0 to 31"),
        (RESNET, {"blocks": 0}, "blocks must be at least 1"),
        (RESNET, {"width": 0}, "width must be at least 1"),
        (FAST, {"width": -2}, "width must be at least 1"),
    ],
)
def test_impossible_configurations_are_refused(config: ImageConfig, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        dataclasses.replace(config, **change)
