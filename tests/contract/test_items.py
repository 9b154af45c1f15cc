"""Examples in files and of different shapes: the same as in an array, where they are of one shape."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from contract import batches as batches_module
from contract.batches import answered, batches, bounded
from contract.items import Files, Items, Ragged
from serving.package import weights_digest
from tasks.contract import Config, Split, UserError
from tasks.training import fit

VALUES = np.random.default_rng(1).integers(0, 256, (10, 3, 4), np.uint8)
RAGGED = [np.full((side, 2), side, np.float32) for side in (1, 2, 1, 3, 1, 2)]


def read(path: Path) -> np.ndarray:
    array: np.ndarray = np.load(path)
    return array


def written(folder: Path, arrays: np.ndarray | list[np.ndarray]) -> list[Path]:
    paths = [folder / f"{number:02}.npy" for number in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        np.save(path, array)
    return paths


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(written(tmp_path, VALUES), read, np.uint8, (3, 4))


def test_files_are_used_as_an_array_is(files: Files) -> None:
    assert (len(files), files.shape, files.dtype) == (10, (10, 3, 4), VALUES.dtype)
    np.testing.assert_array_equal(files[3], VALUES[3])
    np.testing.assert_array_equal(files[-1], VALUES[-1])
    np.testing.assert_array_equal(files[2:9:3], VALUES[2:9:3])
    np.testing.assert_array_equal(files[np.array([7, 0, 7])], VALUES[[7, 0, 7]])
    assert files[:0].shape == (0, 3, 4)
    np.testing.assert_array_equal(list(files), VALUES)
    np.testing.assert_array_equal(files.take(np.array([5, 1]))[:], VALUES[[5, 1]])
    with pytest.raises(IndexError):
        files[10]


def test_no_file_is_read_before_it_is_needed(tmp_path: Path) -> None:
    missing = Files([tmp_path / "a", tmp_path / "b"], read, np.uint8, (3, 4))
    split = Split(missing, np.arange(2)).take(np.array([1]))
    assert (len(split), split.inputs.shape, split.targets.tolist()) == (1, (1, 3, 4), [1])
    with pytest.raises(UserError, match=r"^\S+/b cannot be read: .*No such file"):
        split.inputs[:]


def test_a_file_that_is_damaged_or_of_another_shape_is_named(files: Files) -> None:
    np.save(files.paths[2], np.zeros((3, 5), np.uint8))
    with pytest.raises(UserError, match=r"02\.npy is \(3, 5\) uint8, expected \(3, 4\) uint8"):
        files[:]
    files.paths[2].write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"02\.npy cannot be read: "):
        files[2]


def test_items_of_different_shapes_have_sides_that_are_none() -> None:
    items = Ragged(RAGGED)
    assert items.shape == (6, None, 2)
    np.testing.assert_array_equal(items[[0, 2]], np.ones((2, 1, 2)))
    with pytest.raises(ValueError, match="Expected items of one shape"):
        items[:2]
    with pytest.raises(ValueError, match="Expected items of one type"):
        Ragged([np.zeros(2), np.zeros(2, int)])


def test_a_batch_has_one_shape_and_every_item_is_in_one() -> None:
    assert [rows.tolist() for rows in batches(VALUES, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [rows.tolist() for rows in batches(VALUES, 2, np.array([9, 1, 4]))] == [[9, 1], [4]]
    found = [rows.tolist() for rows in batches(Ragged(RAGGED), 2)]
    assert found == [[0, 2], [1, 5], [3], [4]]
    assert [rows.tolist() for rows in batches(Ragged(RAGGED), 2, np.arange(6)[::-1])] == [[4, 2], [5, 1], [3], [0]]


def test_batches_are_bounded_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches_module, "MOST_BYTES", 100)
    assert bounded(VALUES, 512) == 8  # of 12 bytes
    assert bounded(VALUES, 5) == 5
    assert bounded(VALUES.astype(np.float64), 512) == 1
    assert bounded(Ragged(RAGGED), 512) == 4  # the largest has 24


@pytest.mark.parametrize("inputs", [VALUES, Ragged(list(VALUES))], ids=["array", "items"])
def test_answers_come_in_the_order_of_the_inputs(inputs: np.ndarray | Items) -> None:
    np.testing.assert_array_equal(answered(inputs, lambda batch: batch[:, 0] + 1, 3), VALUES[:, 0] + 1)


def test_answers_to_items_of_different_shapes() -> None:
    sums = answered(Ragged(RAGGED), lambda batch: {"sum": batch.sum(axis=(1, 2)), "twice": 2 * batch}, 2)
    assert sums["sum"].tolist() == [2, 8, 2, 18, 2, 8]
    assert isinstance(sums["twice"], Ragged)
    assert [item.tolist() for item in sums["twice"]] == [(2 * item).tolist() for item in RAGGED]


def test_it_learns_the_same_from_files_as_from_an_array(files: Files) -> None:
    def trained(inputs: np.ndarray | Items) -> str:
        keras.utils.set_random_seed(1)
        layers = [keras.Input((3, 4), dtype="uint8"), keras.layers.Flatten(), keras.layers.Dense(1)]
        model = keras.Sequential(layers)
        model.compile("adam", "mse")
        split = Split(inputs, np.arange(10, dtype=np.float32))
        fit(model, split, split, Config(model="m", epochs=2, batch_size=4, learning_rate=0.1))
        return weights_digest(model)

    assert trained(files) == trained(VALUES)


@pytest.mark.slow
def test_it_learns_from_items_of_different_shapes() -> None:
    inputs = keras.Input((None, 2))
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.GlobalMaxPooling1D()(inputs)))
    model.compile(keras.optimizers.Adam(0.1), "mse")
    split = Split(Ragged(RAGGED), np.array([len(item) for item in RAGGED], np.float32))
    fit(model, split, split, Config(model="m", epochs=60, batch_size=2, learning_rate=0.1))
    found = answered(split.inputs, lambda batch: model.predict(batch, verbose=0))
    np.testing.assert_allclose(found[:, 0], split.targets, atol=0.3)
