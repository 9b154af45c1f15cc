from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import keras
import numpy as np
import pytest

from tasks.adrenal.config import LAB, MIRROR
from tasks.adrenal.layers import MirrorAverage, WeightedCrossentropy
from tasks.adrenal.model import build
from tasks.contract import UserError

GENERATOR = np.random.default_rng(0)
VOLUMES = (255 * (GENERATOR.random((3, 28, 28, 28)) < 0.1)).astype(np.uint8)


@pytest.fixture(scope="module")
def mirror() -> keras.Model:
    keras.utils.set_random_seed(1)
    return build(dataclasses.replace(MIRROR, width=2))


def test_mirror_images_get_one_answer(mirror: keras.Model) -> None:
    expected = mirror.predict(VOLUMES, verbose=0)
    assert np.ptp(expected[:, 1]) > 1e-4
    for axes in itertools.chain.from_iterable(itertools.combinations((1, 2, 3), count) for count in range(4)):
        np.testing.assert_allclose(mirror.predict(np.flip(VOLUMES, axes), verbose=0), expected, atol=1e-5)


def test_in_training_a_volume_is_seen_as_it_is() -> None:
    inputs = keras.Input((2, 2, 2, 1))
    layer = MirrorAverage(keras.Model(inputs, keras.layers.Flatten()(inputs)))
    values = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2, 1)
    np.testing.assert_array_equal(layer(values, training=True), [np.arange(8)])
    np.testing.assert_array_equal(layer(values, training=False), [[3.5] * 8])


@pytest.mark.parametrize("name", ["lab", "mirror"])
def test_whatever_number_marks_the_inside_the_answer_is_the_same(name: str) -> None:
    model = build(dataclasses.replace({"lab": LAB, "mirror": MIRROR}[name], width=2))
    np.testing.assert_array_equal(model.predict(VOLUMES // 255, verbose=0), model.predict(VOLUMES, verbose=0))
    assert np.isfinite(model.predict(np.zeros_like(VOLUMES), verbose=0)).all()


def test_a_hyperplastic_gland_counts_as_often_as_it_is_said() -> None:
    probabilities = np.array([[0.8, 0.2], [0.5, 0.5]], np.float32)
    loss = WeightedCrossentropy(3.0)(np.array([0, 1]), probabilities)
    assert float(loss) == pytest.approx((-np.log(0.8) - 3 * np.log(0.5)) / 2)
    again = WeightedCrossentropy.from_config(WeightedCrossentropy(3.0).get_config())
    assert again.weight == 3.0


def test_coarse_voxels_are_means() -> None:
    model = build(dataclasses.replace(MIRROR, width=2, coarse=2))
    pooled = next(layer for layer in model.layers if isinstance(layer, keras.layers.AveragePooling3D))
    seen = keras.Model(model.inputs, pooled.output).predict(VOLUMES, verbose=0)[..., 0]
    np.testing.assert_allclose(seen, VOLUMES.reshape(3, 14, 2, 14, 2, 14, 2).mean(axis=(2, 4, 6)) / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("field", "value"), [("coarse", 0), ("coarse", 8), ("weight", 0), ("dropout", 1), ("width", 0)]
)
def test_settings_out_of_range_are_told(field: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"{field} must be"):
        dataclasses.replace(MIRROR, **{field: value})
