from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest

from serving.export import export
from tasks.unet import WHOLE, Cropped, Padded, Standardized, unet

GENERATOR = np.random.default_rng(0)
SIZES: dict[int, list[tuple[int, ...]]] = {
    2: [(1, 1), (8, 8), (9, 21), (30, 17)],
    3: [(1, 1, 1), (8, 9, 10), (13, 4, 7)],
}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    keras.utils.set_random_seed(1)


def standardized(values: list[list[float]]) -> np.ndarray:
    return np.asarray(Standardized()(np.array(values, np.float32)))


def test_each_item_has_mean_0_and_deviation_1() -> None:
    np.testing.assert_allclose(standardized([[1, 3], [10, 50]]), [[-1, 1], [-1, 1]], atol=1e-6)
    item = GENERATOR.normal(5, 3, (1, 9, 7, 5)).astype(np.float32)
    found = np.asarray(Standardized()(item))
    np.testing.assert_allclose(found, (item - item.mean()) / item.std(), atol=1e-5)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 65535.0, 1e37])
def test_the_unit_does_not_matter(scale: float) -> None:
    expected = [-(1.5**0.5), 0, 1.5**0.5]
    np.testing.assert_allclose(standardized([[scale, 2 * scale, 3 * scale]])[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 7.3, -1e30, np.nan])
def test_what_is_the_same_everywhere_becomes_0(value: float) -> None:
    np.testing.assert_array_equal(standardized([[value] * 5]), [[0] * 5])


def test_what_is_no_place_has_no_part_in_it_and_becomes_0() -> None:
    np.testing.assert_allclose(standardized([[1, np.nan, 3, np.nan]]), [[-1, 0, 1, 0]], atol=1e-6)


@pytest.mark.parametrize("sides", [(512, 512), (64, 64, 64)])
def test_the_exported_graph_standardises_large_items_as_keras_does(sides: tuple[int, ...], tmp_path: Path) -> None:
    inputs = keras.Input((None,) * len(sides))
    model = keras.Model(inputs, Standardized()(inputs))
    export(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    item = (1000 + GENERATOR.gamma(0.2, 30, (1, *sides))).astype(np.float32)  # few places are light
    (found,) = session.run(None, {session.get_inputs()[0].name: item})
    np.testing.assert_allclose(found, model.predict(item, verbose=0), rtol=1e-5, atol=1e-5)
    exact = (item.astype(np.float64) - item.mean(dtype=np.float64)) / item.std(dtype=np.float64)
    np.testing.assert_allclose(found, exact, rtol=1e-3, atol=1e-3)


def test_sides_are_padded_to_a_multiple_and_cropped_back() -> None:
    items = GENERATOR.random((2, 5, 8)).astype(np.float32)
    padded = np.asarray(Padded(4)(items))
    assert padded.shape == (2, 8, 8, 1)
    np.testing.assert_array_equal(padded[:, :5, :, 0], items)
    np.testing.assert_array_equal(padded[:, 5:], 0)
    np.testing.assert_array_equal(np.asarray(Cropped()([padded, items]))[..., 0], items)
    assert Padded(4).compute_output_shape((None, 5, None)) == (None, 8, None, 1)


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("skips", [True, False])
def test_items_of_any_size_get_probabilities_of_that_size(rank: int, skips: bool, tmp_path: Path) -> None:
    """In Keras, in a file of Keras's and in the exported graph."""
    model = unet(rank, 3, filters=2, depth=2, skips=skips)
    export(model, tmp_path / "model.onnx")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    for size in SIZES[rank]:
        items = (1000 * GENERATOR.random((2, *size))).astype(np.float32)
        items[1, -1:] = np.nan
        outputs = np.asarray(model(items))
        assert outputs.shape == (2, *size, 3)
        np.testing.assert_allclose(outputs.sum(axis=-1), 1, atol=1e-5)
        np.testing.assert_array_equal(np.asarray(loaded(items)), outputs)
        np.testing.assert_allclose(session.run(None, {taken.name: items})[0], outputs, atol=1e-5)


def test_nothing_after_the_first_layer_needs_more_than_what_it_gives() -> None:
    model = unet(2, 2, filters=2, depth=2)
    whole = model.get_layer(WHOLE)
    rest = keras.Model(whole.output, model.output)
    items = GENERATOR.random((1, 9, 10)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(rest(whole(items))), np.asarray(model(items)), atol=1e-6)


def test_the_network_is_that_of_the_paper_counted_by_hand() -> None:
    """Two levels of 2 and 4 filters, kernels of 3×3 without bias and four numbers a filter for the normalisation."""

    def convolution(before: int, after: int) -> int:
        return 9 * before * after + 4 * after

    down = convolution(1, 2) + convolution(2, 2) + convolution(2, 4) + convolution(4, 4)
    up = (4 + 1) * 2  # of 1×1, with bias
    last = (2 + 1) * 3
    both = convolution(4, 2) + convolution(2, 2)
    assert unet(2, 3, filters=2, depth=1).count_params() == down + up + both + last
    assert unet(2, 3, filters=2, depth=1, skips=False).count_params() == down + up + 2 * convolution(2, 2) + last


@pytest.mark.parametrize("skips", [True, False])
def test_where_the_lowest_level_finds_nothing_only_skips_tell_places_apart(skips: bool) -> None:
    model = unet(2, 2, filters=2, depth=2, skips=skips)
    kernels = [layer.kernel for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    kernels[5].assign(np.zeros(kernels[5].shape))  # after two at each of the levels above, the second of the lowest
    outputs = np.asarray(model(GENERATOR.random((1, 8, 8)).astype(np.float32)))
    assert (np.ptp(outputs[..., 0]) > 1e-4) == skips
