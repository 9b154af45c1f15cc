"""A task about somebody's own pictures, in folders of mixed sizes and formats with a broken file among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from serving.export import export
from serving.package import run_onnx
from tasks import pictures
from tasks.contract import UserError
from tasks.new import new_pictures
from tests.tasks.test_new import SPLITS, made

FORMATS = ("png", "jpg", "webp", "bmp", "gif")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pieces of scikit-learn's two photographs, and what else lies about in people's folders."""
    path = tmp_path / "my pets"
    for label, photograph in zip(("china", "flower"), load_sample_images().images, strict=True):
        (path / label).mkdir(parents=True)
        for number in range(30):
            side = 60 + 3 * number
            piece = Image.fromarray(photograph[number : number + side, 5 * number : 5 * number + side + number])
            piece.save(path / label / f"{number:02}.{FORMATS[number % len(FORMATS)]}")
    (path / "china" / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (path / "flower" / "notes.txt").write_text("no picture, and nobody would take it for one")
    (path / "empty").mkdir()
    return path


def test_folders_become_classes_and_a_broken_file_is_left_out_by_name(folder: Path, tmp_path: Path) -> None:
    written = new_pictures("pets", str(folder), root=tmp_path)
    assert written.remarks == [
        "Pictures of each class: china 30, flower 30.",
        "china/broken.jpg is left out: it cannot be read as a picture.",
    ]
    task = made(tmp_path, "pets")
    splits = {name: task.load(name) for name in SPLITS}
    assert {name: len(split) for name, split in splits.items()} == {"train": 42, "validation": 9, "test": 9}
    assert splits["train"].inputs.shape == (42, pictures.SIDE, pictures.SIDE, 3)
    assert splits["train"].targets.mean() == 0.5
    assert task.primary.floor == pytest.approx(0.6)
    assert task.answer.metadata()["labels"] == ["china", "flower"]


def test_a_picture_is_learnt_from_as_the_gateway_makes_one_of_an_upload(folder: Path, tmp_path: Path) -> None:
    new_pictures("pets", str(folder), root=tmp_path)
    task = made(tmp_path, "pets")
    uploaded = task.item.file((folder / "china" / "00.png").read_bytes(), (pictures.SIDE, pictures.SIDE, 3))
    everything = np.concatenate([task.load(name).inputs for name in SPLITS])
    assert any((one == uploaded).all() for one in everything)


def test_what_varies_pictures_in_training_does_nothing_in_what_is_served(folder: Path, tmp_path: Path) -> None:
    new_pictures("pets", str(folder), root=tmp_path)
    task = made(tmp_path, "pets")
    model, inputs = task.build(task.configure()), task.load("validation").inputs
    export(model, tmp_path / "model.onnx")
    served = run_onnx(tmp_path / "model.onnx", inputs)
    np.testing.assert_allclose(served, model.predict(inputs, verbose=0), atol=1e-5)


def test_more_than_fits_the_memory_stays_in_the_files(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_pictures("pets", str(folder), root=tmp_path)
    task = made(tmp_path, "pets")
    whole = task.load("test").inputs
    pictures._loaded.cache_clear()
    monkeypatch.setattr(pictures, "MOST_IN_MEMORY", 1)
    lazily = task.load("test").inputs
    assert not isinstance(lazily, np.ndarray)
    np.testing.assert_array_equal(lazily[np.arange(len(lazily))], whole)
    pictures._loaded.cache_clear()


def test_folders_without_two_classes_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="one a class, with pictures in them; found none"):
        new_pictures("pets", str(folder / "china"), root=tmp_path)
    with pytest.raises(UserError, match="There is no folder"):
        new_pictures("pets", str(folder / "nowhere"), root=tmp_path)
    assert not (tmp_path / "tasks").exists()


def test_a_class_that_nobody_spoke_of_is_told(folder: Path, tmp_path: Path) -> None:
    new_pictures("pets", str(folder), root=tmp_path)
    task = made(tmp_path, "pets")
    (folder / "rabbit").mkdir()
    Image.new("RGB", (9, 9)).save(folder / "rabbit" / "1.png")
    labels = task.answer.counted[""]
    known = pictures.Folder(str(folder), tuple(labels), ("china/broken.jpg",))
    with pytest.raises(UserError, match="has a folder 'rabbit', which is not among the task's labels"):
        known.load("train")
    known = pictures.Folder(str(folder), tuple(labels), ("china/broken.jpg", "rabbit"))
    assert len(known.load("train")) == known.train_examples == 42
