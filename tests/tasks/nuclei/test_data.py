from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.nuclei import data
from tasks.nuclei.baseline import otsu, threshold
from tasks.sources import SourceError
from tests.conftest import available

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(256, size=(3, 256, 256), dtype=np.uint8)
LABELS = np.zeros((3, 256, 256), np.uint16)
LABELS[0, :9, :9], LABELS[0, 5:20, 5:20], LABELS[2, 100:, 7:] = 1, 2, 1


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_folder(folder: Path) -> None:
    for kind, arrays in (("images", IMAGES), ("labels", LABELS)):
        (folder / kind).mkdir(parents=True)
        for number, array in enumerate(arrays):
            (folder / kind / f"{number}.png").write_bytes(png(array))


def write_archive(path: Path) -> None:
    """As the official archive: RGBA pictures, one of another size among them, and a mask a nucleus."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("top/README.rst", "about it")
        for number, (image, label) in enumerate(zip(IMAGES, LABELS, strict=True)):
            folder = f"top/stage1_train/{number}"
            rgba = np.dstack([image, image, image, np.full_like(image, 255)])
            archive.writestr(f"{folder}/images/{number}.png", png(rgba))
            for nucleus in range(1, label.max() + 1):
                archive.writestr(
                    f"{folder}/masks/{nucleus}.png", png(np.where(label == nucleus, 255, 0).astype("uint8"))
                )
        archive.writestr("top/stage1_train/9/images/9.png", png(np.zeros((256, 320, 4), np.uint8)))


def assert_made(arrays: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(arrays["images"], IMAGES)
    np.testing.assert_array_equal(arrays["labels"], LABELS)
    assert arrays["images"].dtype == np.uint8
    assert arrays["labels"].dtype == np.uint16


def test_data_dir_holds_pictures_and_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    write_folder(tmp_path / "nuclei")
    assert_made(data.from_data_dir())
    for path in (tmp_path / "nuclei" / "labels").iterdir():
        path.unlink()
    with pytest.raises(SourceError, match=r"no labels/\*\.png in"):
        data.from_data_dir()


def test_the_archive_has_a_mask_a_nucleus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def archive(origin: str) -> Iterator[Path]:
        assert origin == data.ARCHIVE
        write_archive(tmp_path / "archive.zip")
        yield tmp_path / "archive.zip"

    monkeypatch.setattr(data, "downloaded", archive)
    assert_made(data.from_github())


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        (None, "not a zip file"),
        ({"README.rst": b""}, "no pictures of 256×256"),
        ({"a/masks/1.png": png(IMAGES[0])}, r"no images/\*.png of a"),
        ({"a/images/1.png": b"no picture"}, "cannot identify image file"),
    ],
)
def test_a_damaged_archive_is_a_source_error(members: dict[str, bytes] | None, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "archive.zip"
    path.write_bytes(b"nothing")
    if members is not None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    with pytest.raises(SourceError, match=f"cannot read {path}: .*{reason}"):
        data.read_archive(path)


def test_a_damaged_picture_is_a_source_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    write_folder(tmp_path / "nuclei")
    path = tmp_path / "nuclei" / "images" / "1.png"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(SourceError, match=f"cannot read {path.parent}"):
        data.from_data_dir()


def test_kinds_are_told_by_background_and_brightness() -> None:
    pictures = np.zeros((4, 10, 10))
    pictures[2:] = 13
    pictures[::2, :2] = 60
    pictures[1::2, :2] = 200
    assert data.kinds(pictures).tolist() == ["black, dim", "black, bright", "grey, dim", "grey, bright"]


def test_splits_are_by_picture_with_each_kind_in_all() -> None:
    task = available("nuclei")
    splits = {name: task.load(name) for name in ("train", "validation", "test")}
    assert {name: len(split) for name, split in splits.items()} == {"train": 233, "validation": 50, "test": 51}
    assert data.TRAIN_SIZE == 233
    assert sum(len(np.unique(target)) - 1 for split in splits.values() for target in split.targets) == 9543
    counts = [np.unique(data.kinds(split.inputs), return_counts=True)[1] / len(split) for split in splits.values()]
    assert len(counts[0]) == 4
    assert np.ptp(counts, axis=0).max() < 0.03


def test_otsu_parts_two_groups() -> None:
    picture = np.array([[10, 11, 12, 200], [9, 10, 210, 220]], np.float32)
    assert 12 < threshold(picture) <= 200
    split = available("nuclei").load("validation").take(np.arange(2))
    outputs = otsu(split)
    assert outputs.shape == (2, 256, 256, 2)
    np.testing.assert_array_equal(outputs.sum(axis=-1), 1)
    assert threshold(np.full((3, 3), 7.0)) == np.inf
