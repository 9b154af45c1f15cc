"""Items larger than the network's window, on networks small enough to know the answer."""

from __future__ import annotations

import itertools
from pathlib import Path

import keras
import numpy as np
import pytest

from served.session import Session
from served.windows import OVERLAP, Windowed, ramp, starts
from serving.export import ExportError, export, export_windows


@pytest.mark.parametrize(("side", "window"), [(5, 8), (8, 8), (9, 8), (100, 32), (101, 32), (512, 96), (33, 32)])
def test_windows_cover_a_side_and_overlap(side: int, window: int) -> None:
    begun = starts(side, window)
    assert begun[0] == 0
    assert begun[-1] + window == max(side, window)
    overlaps = [first + window - second for first, second in itertools.pairwise(begun)]
    assert all(OVERLAP * window - 1 <= overlap < window for overlap in overlaps)


def test_a_place_counts_less_towards_a_border() -> None:
    np.testing.assert_allclose(ramp([8], 8), [0.5, 1, 1, 1, 1, 1, 1, 0.5])
    np.testing.assert_allclose(ramp([2, 8], 8), 0.5 * np.stack([ramp([8], 8)] * 2))


@keras.saving.register_keras_serializable("tests")
class Highest(keras.layers.Layer):
    """What remains of each item (N, height, width) when its highest value is taken off."""

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        return inputs - keras.ops.max(inputs, axis=(1, 2), keepdims=True)


def graphs(folder: Path, **first: str) -> Path:
    """A network that knows each place's 3×3 neighbours less the highest value of the whole."""
    inputs = keras.Input((None, None))
    hidden = Highest(**first)(inputs)
    hidden = keras.ops.expand_dims(hidden, -1)
    outputs = keras.layers.Conv2D(2, 3, padding="same", kernel_initializer=keras.initializers.GlorotUniform(1))(hidden)
    model = keras.Model(inputs, outputs)
    export(model, folder / "model.onnx")
    export_windows(model, folder)
    return folder / "model.onnx"


ITEM = np.random.default_rng(0).normal(size=(1, 45, 70)).astype(np.float32)


@pytest.fixture(scope="module")
def seeing_whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return graphs(tmp_path_factory.mktemp("graphs"), name="whole")


@pytest.mark.parametrize("item", [ITEM, ITEM[:, :20], ITEM[:, :1], ITEM[:, :, :1]], ids=lambda item: str(item.shape))
def test_the_answer_window_by_window_is_that_to_the_whole(seeing_whole: Path, item: np.ndarray) -> None:
    """But near the borders of windows, which do not know what comes next: there it is the mean of those that do and
    those that do not."""
    (whole,) = Session(seeing_whole).run(item).values()
    (found,) = Windowed(seeing_whole, 32).run(item).values()
    assert found.shape == (*item.shape, 2)
    inner = np.ones(item.shape, bool)
    for axis in (1, 2):
        if (side := item.shape[axis]) > 32:
            edges = [place for begin in starts(side, 32) for place in (begin, begin + 31)]
            np.moveaxis(inner, axis, 0)[edges] = False
    np.testing.assert_allclose(found[inner], whole[inner], atol=1e-5)
    assert np.abs(found - whole).max() < np.abs(whole).max()


def test_an_item_within_the_window_goes_through_as_a_whole(seeing_whole: Path) -> None:
    (whole,) = Session(seeing_whole).run(ITEM).values()
    (found,) = Windowed(seeing_whole, 70).run(ITEM).values()
    np.testing.assert_array_equal(found, whole)


def test_without_a_layer_that_sees_the_whole_a_window_knows_itself_alone(tmp_path: Path) -> None:
    """Its highest value is that of the window, so answers differ far from any border."""
    path = graphs(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    (whole,) = Session(path).run(ITEM).values()
    (found,) = Windowed(path, 32).run(ITEM).values()
    assert np.isfinite(found).all()
    assert np.abs(found - whole)[0, 5:15, 5:15].max() > 0.01


def test_what_looks_past_that_layer_cannot_be_exported(tmp_path: Path) -> None:
    inputs = keras.Input((None, None))
    model = keras.Model(inputs, keras.layers.Add()([Highest(name="whole")(inputs), inputs]))
    with pytest.raises(ExportError, match="needs something else from before it"):
        export_windows(model, tmp_path)
    assert not list(tmp_path.iterdir())
