from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.contract import UserError
from tasks.style import data


@pytest.fixture
def folder(tmp_path: Path, china: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`$DATA_DIR`, with a photograph less than is asked for."""
    (tmp_path / "photographs").mkdir()
    for number in range(data.LEAST - 1):
        Image.fromarray(np.roll(china, number, axis=1)).save(tmp_path / "photographs" / f"{number:03}.png")
    (tmp_path / "photographs" / "notes.txt").write_text("no photograph")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DL_LIFECYCLE_CACHE", str(tmp_path / "cache"))
    data.painting.cache_clear()
    return tmp_path / "photographs"


def test_too_few_photographs_are_told(folder: Path) -> None:
    with pytest.raises(UserError, match=r"Expected at least 24 photographs \(JPEG or PNG\) in .*, found 23"):
        data.load("train")


@pytest.mark.usefixtures("small_network")
def test_the_last_are_for_the_test_and_those_before_for_validation(folder: Path, china: np.ndarray) -> None:
    Image.fromarray(china).save(folder / "zebra.JPEG")
    splits = {name: data.load(name) for name in ("train", "validation", "test")}
    assert {name: len(split) for name, split in splits.items()} == {"train": 8, "validation": 6, "test": 10}
    assert splits["test"].inputs.shape == (10, 256, 256, 3)
    assert splits["test"].inputs.dtype == np.uint8
    # Losses under another network or beside another painting are others.
    assert splits["test"].judge == f"small {data.PAINTING_DIGEST}"
    np.testing.assert_array_equal(splits["test"].inputs[-1], data.square(folder / "zebra.JPEG"))
    np.testing.assert_array_equal(splits["validation"].inputs[0], data.square(folder / "008.png"))


def test_a_photograph_keeps_its_proportions(folder: Path) -> None:
    """The middle square of a wide one, of which its black thirds at the sides are no part."""
    stripes = np.repeat([0, 255, 0], 100).astype(np.uint8)
    Image.fromarray(np.tile(stripes[None, :, None], (100, 1, 3))).save(folder / "wide.png")
    assert data.square(folder / "wide.png")[:, 8:-8].min() > 250


def test_a_broken_photograph_is_named(folder: Path) -> None:
    (folder / "zebra.jpg").write_bytes(b"\xff\xd8\xff no jpeg")
    with pytest.raises(UserError, match=r"Cannot read .*zebra\.jpg as a JPEG or PNG picture"):
        data.load("test")


def test_where_photographs_and_painting_belong_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(folder))
    with pytest.raises(
        UserError, match=r"Tried DATA_DIR: no folder .*; TensorFlow's flowers: .* or more JPEG or PNG files"
    ):
        data.load("train")
    with pytest.raises(UserError, match=r"No source has the painting\. Tried DATA_DIR: no folder .*; download: "):
        data.painting()


def test_without_photographs_flowers_are_downloaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive has a folder for each kind of flower; the order is that of the files' names, whatever the folder."""
    names = [f"flower_photos/{kind}/{number:02}_{kind}.jpg" for kind in ("roses", "daisy") for number in range(50)]
    archive = folder.parent / "flowers.tgz"
    with tarfile.open(archive, "w:gz") as file:
        for index, name in enumerate(names):
            path = sorted(folder.glob("*.png"))[index % 20]
            file.add(path, name)
    monkeypatch.setattr(data, "FLOWERS", archive.as_uri())
    monkeypatch.setattr(data, "FLOWERS_DIGEST", hashlib.sha256(archive.read_bytes()).hexdigest())
    monkeypatch.delenv("DATA_DIR")
    found = data.photographs()
    archive.unlink()
    assert data.photographs() == found  # which are unpacked once
    assert len(found) == len(names)
    assert [path.name for path in found] == sorted(path.name for path in found)
    assert {path.parent.name for path in found[-10:]} == {"roses", "daisy"}


@pytest.fixture
def starry(tmp_path: Path, china: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Another painting by that name, whose digest is known."""
    path = tmp_path / "style" / "starry_night_google.jpg"
    path.parent.mkdir()
    Image.fromarray(np.tile(china, (5, 5, 1))).save(path)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setattr(data, "PAINTING_DIGEST", hashlib.sha256(path.read_bytes()).hexdigest())
    data.painting.cache_clear()
    yield path
    data.painting.cache_clear()


def test_the_painting_is_scaled(starry: Path) -> None:
    assert data.painting().shape == (288, 384, 3)


def test_another_painting_is_refused(starry: Path, flower: np.ndarray) -> None:
    Image.fromarray(flower).save(starry)
    with pytest.raises(UserError, match=r"DATA_DIR: .*starry_night_google\.jpg has SHA-256 \w{12}…, expected"):
        data.painting()
