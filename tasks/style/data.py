"""Photographs to learn from and to be judged on, and the painting whose style is learnt."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from tasks.contract import Split, SplitName, UserError
from tasks.sources import SourceError, data_dir, first_of, keras_archive, keras_file
from tasks.style.config import SIDE
from tasks.style.vgg import loss_network

# 3,670 photographs of flowers under CC BY, as TensorFlow's tutorials have them; the digest is TensorFlow Datasets'.
FLOWERS = "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz"
FLOWERS_DIGEST = "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c"
# The Starry Night (Vincent van Gogh, 1889), scanned by the Google Art Project, as most programs of this kind have it.
PAINTING = (
    "https://raw.githubusercontent.com/jcjohnson/neural-style/69ea99b0b434522dc225ba112f3602ecc41d7a03/examples/inputs/"
    "starry_night_google.jpg"
)
PAINTING_DIGEST = "c31741a09141c2e2d07fc7aa6bdf135c369b804f9433e43fa3ceac19386d1ee6"
PAINTING_SIDE = 384  # of its longer side, in pixels: how large its brush strokes are in a photograph of SIDE
VALIDATION_SIZE, TEST_SIZE = 6, 10
LEAST, MOST = 24, 1000  # photographs
SUFFIXES = (".jpg", ".jpeg", ".png")
LARGEST = 50_000_000  # pixels


def load(name: SplitName) -> Split:
    """Photographs (N, 256, 256, 3) uint8, the middle square of each; the targets are the photographs again, whose
    content is to be kept. They are judged by the loss network that can be had and the painting.

    In the order of their names, the last 10 are for the test, the 6 before them for validation.

    Raises:
        UserError: There are too few, one cannot be read, or the loss network cannot be had.
    """
    paths = photographs()
    ends = (len(paths) - TEST_SIZE - VALIDATION_SIZE, len(paths) - TEST_SIZE, len(paths))
    rows = {"train": slice(ends[0]), "validation": slice(*ends[:2]), "test": slice(*ends[1:])}[name]
    squares = np.stack([square(path) for path in paths[rows]])
    return Split(squares, squares, judge=f"{loss_network().name} {PAINTING_DIGEST}")


def photographs() -> list[Path]:
    """The last MOST files in the order of their names: of `$DATA_DIR/photographs/`, else of TensorFlow's flowers."""
    sources = [
        ("DATA_DIR", lambda: data_dir("photographs")),
        ("TensorFlow's flowers", lambda: keras_archive(FLOWERS, FLOWERS_DIGEST)),
    ]
    folder = first_of("photographs", sources, f"{LEAST} or more JPEG or PNG files in photographs/")
    found = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()]
    if len(found) < LEAST:
        raise UserError(f"Expected at least {LEAST} photographs (JPEG or PNG) in {folder}, found {len(found)}.")
    return sorted(found, key=lambda path: (path.name, path.relative_to(folder).as_posix()))[-MOST:]


def square(path: Path) -> np.ndarray:
    """The middle square of a photograph, scaled to SIDE."""
    return np.asarray(ImageOps.fit(opened(path), (SIDE, SIDE), Image.Resampling.LANCZOS))


@functools.cache
def painting() -> np.ndarray:
    """The painting whose style is learnt, (H, W, 3) uint8: from `$DATA_DIR/style/`, else from a download.

    Raises:
        UserError: It cannot be had.
    """
    file = PAINTING.rpartition("/")[2]
    sources = [
        ("DATA_DIR", lambda: known(data_dir("style") / file, PAINTING_DIGEST)),
        ("download", lambda: keras_file(PAINTING, PAINTING_DIGEST)),
    ]
    path = first_of("the painting", sources, f"style/{file} in it")
    image = opened(path)
    image.thumbnail((PAINTING_SIDE, PAINTING_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(image)


def known(path: Path, sha256: str) -> Path:
    """The file, if it is the one of that digest.

    Raises:
        SourceError: It is another.
        OSError: It is not there or cannot be read.
    """
    if (received := hashlib.sha256(path.read_bytes()).hexdigest()) != sha256:
        raise SourceError(f"{path} has SHA-256 {received[:12]}…, expected {sha256[:12]}…")
    return path


def opened(path: Path) -> Image.Image:
    """A JPEG or PNG file, upright and in colour."""
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as file:
            if file.width * file.height > LARGEST:
                raise UserError(f"{path} has more than {LARGEST // 10**6} million pixels.")
            if file.mode.startswith("I") or file.has_transparency_data:
                raise UserError(f"{path} has more than 8 bits, or transparency. Expected a photograph.")
            return ImageOps.exif_transpose(file).convert("RGB")
    except UserError:
        raise
    except Exception as error:  # of a broken file Pillow raises whatever comes
        raise UserError(f"Cannot read {path} as a JPEG or PNG picture: {error}") from error
