from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks.adrenal import data
from tasks.sources import SourceError
from tests.conftest import available


def write(folder: Path) -> dict[str, np.ndarray]:
    """A file laid out as the published one, of two glands in each part."""
    arrays = {}
    for number, part in enumerate(data.PARTS.values()):
        arrays[f"{part}_images"] = np.full((2, 3, 3, 3), number, np.uint8)
        arrays[f"{part}_labels"] = np.array([[number % 2], [1]], np.uint8)
    folder.mkdir()
    np.savez_compressed(folder / data.FILE, **arrays)  # type: ignore[arg-type]  # numpy's stub, as in tasks/sources.py
    return arrays


def test_data_dir_may_hold_the_published_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    expected = write(tmp_path / "adrenal")
    found = data.from_data_dir()
    assert found.keys() == expected.keys() == data.DIGESTS.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 half", b"no archive"])
def test_a_damaged_file_is_a_source_error(damage: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    (tmp_path / "adrenal").mkdir()
    (tmp_path / "adrenal" / data.FILE).write_bytes(damage)
    with pytest.raises(SourceError):
        data.from_data_dir()


def test_the_download_is_kept_under_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def get_file(name: str, origin: str, cache_dir: Path, file_hash: str) -> str:
        asked.append((name, origin, file_hash))
        write(tmp_path / "adrenal")
        return str(tmp_path / "adrenal" / data.FILE)

    monkeypatch.setattr("keras.utils.get_file", get_file)
    assert data.from_zenodo().keys() == data.DIGESTS.keys()
    assert asked == [("adrenalmnist3d.npz", data.URL, "bbd3c5a5576322bc4cdfea780653b1ce")]


def test_the_split_is_the_published_one() -> None:
    task = available("adrenal")
    splits = {name: task.load(name) for name in data.PARTS}
    assert {name: len(split) for name, split in splits.items()} == {"train": 1188, "validation": 98, "test": 298}
    counts = {name: np.bincount(splits[name].targets).tolist() for name in ("train", "validation")}
    assert counts == {"train": [929, 259], "validation": [76, 22]}
    for split in splits.values():
        assert split.inputs.shape[1:] == (data.SIDE,) * 3
        assert set(np.unique(split.inputs)) == {0, 255}
        assert (split.inputs > 0).any(axis=(1, 2, 3)).all()
