"""Tasks about pictures in folders, one folder a class. A task's own folder says which."""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from forms.answers.labels import Labels
from forms.items.photograph import Photograph
from forms.pictures import PictureError
from tasks import classification, splits
from tasks.contract import Config, Files, Primary, Split, SplitName, Task, UserError, lazily

SIDE = 64  # pixels
MOST_IN_MEMORY = 2**29  # bytes of pixels; more are read from the files, epoch by epoch
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Folder:
    """Pictures below a folder, each in one that is named as its class.

    Attributes:
        path: Of the folder.
        labels: The classes, in the order of the outputs.
        left_out: Files that are no pictures, from the folder on; folders that are no classes.
        side: Of what the model sees, in pixels: a picture is scaled, and cropped to the middle.
        seed: Of the split.
    """

    path: str
    labels: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    side: int = SIDE
    seed: int = 1

    def load(self, name: SplitName) -> Split:
        """One split: pictures (N, side, side, 3) uint8 and classes (N,) int32.

        Raises:
            UserError: The folder is not there, or one of its files is no picture.
        """
        pictures, targets = _loaded(self)
        rows = splits.stratified(np.asarray(self.labels)[targets], self.seed)[name]
        return Split(pictures, targets).take(rows)

    @property
    def train_examples(self) -> int:
        """How many pictures are learnt from."""
        return len(splits.stratified(np.array([target for _, target in self.files]), self.seed)["train"])

    @property
    def files(self) -> list[tuple[Path, int]]:
        """The pictures with their classes, in the order of their names.

        Raises:
            UserError: There is a class that nobody spoke of.
        """
        known = {label: place for place, label in enumerate(self.labels)}
        found = [(label, file) for label, file in pictures_below(self.path) if self._is_wanted(label, file)]
        if unheard := sorted({label for label, _ in found} - set(known)):
            raise UserError(
                f"{self.path} has a folder {unheard[0]!r}, which is not among the task's labels. Add it to labels, or "
                "to left_out."
            )
        return [(file, known[label]) for label, file in found]

    def _is_wanted(self, label: str, file: Path) -> bool:
        return label not in self.left_out and file.relative_to(self.path).as_posix() not in self.left_out


def task(name: str, folder: Folder, primary: Primary, summary: str = "", **more: Any) -> Task:
    """The task of telling the class of a picture.

    Args:
        name: Of the task's folder.
        folder: What is learnt from.
        primary: The metric that decides, "accuracy".
        summary: One sentence for people.
        **more: Further fields of the task, or other values for those that are set here.
    """
    values: dict[str, Any] = {
        "name": name,
        "summary": summary or f"Tell pictures of {', '.join(folder.labels)} apart.",
        "models": {"small": Config("small", 30, 32, 4e-3)},
        "load": folder.load,
        "build": partial(lazily("tasks.pictures_model:build"), folder),
        "scores": partial(classification.scores, folder.labels),
        "metrics": classification.metrics,
        "figures": partial(classification.figures, folder.labels),
        "primary": primary,
        "item": Photograph(),
        "answer": Labels(folder.labels),
    }
    return Task(**(values | more))


def pictures_below(path: str) -> list[tuple[str, Path]]:
    """The names of the folders below one, each with a picture in it, sorted.

    Raises:
        UserError: There is no such folder.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UserError(f"There is no folder {path}. Its path stands in the task's folder.")
    return [
        (one.parent.name, one)
        for one in sorted(folder.glob("*/*"))
        if one.suffix.lower() in ENDINGS and not one.name.startswith(".")
    ]


def read_picture(side: int, file: Path) -> np.ndarray:
    """A picture (side, side, 3) uint8, as the gateway makes one of a file that is uploaded.

    Raises:
        PictureError, OSError: It is none.
    """
    data = file.read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        if image.format not in ("PNG", "JPEG"):  # nobody may upload it, but it may be learnt from
            buffer = io.BytesIO()
            image.convert("RGB").save(buffer, "PNG", compress_level=1)
            data = buffer.getvalue()
    return Photograph().file(data, (side, side, 3))


def is_picture(file: Path) -> bool:
    """Whether it can be read."""
    try:
        read_picture(SIDE, file)
    except (PictureError, OSError, ValueError, SyntaxError):  # Pillow's, of damaged files
        return False
    return True


@functools.cache  # each split is a part of it
def _loaded(folder: Folder) -> tuple[Any, np.ndarray]:
    """All pictures and their classes."""
    files = folder.files
    shape = (folder.side, folder.side, 3)
    pictures = Files([file for file, _ in files], partial(read_picture, folder.side), np.uint8, shape)
    targets = np.array([target for _, target in files], np.int32)
    fits = len(files) * folder.side**2 * 3 <= MOST_IN_MEMORY
    return (pictures[np.arange(len(files))] if fits else pictures), targets
