"""AdrenalMNIST3D (Yang et al. 2023, "MedMNIST v2", Scientific Data 10:41): the shapes of 1,584 adrenal glands of 792
patients, outlined in CT scans, in its own split by patients."""

from collections.abc import Callable

import numpy as np

from tasks.contract import Split, SplitName
from tasks.sources import Arrays, data_dir, fetch, keras_file, read_npz

LABELS = ("normal", "hyperplasia")
TRAIN_SIZE = 1188
SIDE = 28  # voxels, each 64 mm / 28 = 2.29 mm long
FILE = "adrenalmnist3d.npz"
URL = f"https://zenodo.org/records/10519652/files/{FILE}?download=1"
MD5 = "bbd3c5a5576322bc4cdfea780653b1ce"  # as the package medmnist 3.0.2 publishes it
PARTS: dict[SplitName, str] = {"train": "train", "validation": "val", "test": "test"}
DIGESTS = {
    "train_images": "ef642e31818ccc5a503a044b1171c863826dd4a3d8e9cf767fe48fb6a22be79d",
    "train_labels": "d1afb620c5106a3261eadf4146549ff1d868fe1d6e6fc9606b21d2529213c598",
    "val_images": "a0e5505fda9a47a91df786d42d56e9b402d4605576d28747291bb0ca58fbb54e",
    "val_labels": "e22ba2c15679908ddc8ec18cf8e2a5216574140ddb7b7124e2dff54573a4df22",
    "test_images": "6c9f9b0d6e82577049f17fa71881db9ce9a57e5875c55fe83abceb1656a1766f",
    "test_labels": "fafffb11e5d2006d690eb351de2bc771c3e6fd727fb8a464969853bbc42aa357",
}


def load(split: SplitName) -> Split:
    """One split: volumes (N, 28, 28, 28) uint8, 255 inside the gland and 0 outside, and places in LABELS (N,) int32.

    The data set does not say which way its axes run; they are taken as they are.
    """
    sources: list[tuple[str, Callable[[], Arrays]]] = [("DATA_DIR", from_data_dir), ("Zenodo", from_zenodo)]
    arrays = fetch("adrenal", sources, DIGESTS)
    part = PARTS[split]
    return Split(arrays[f"{part}_images"], arrays[f"{part}_labels"][:, 0].astype(np.int32))


def from_data_dir() -> Arrays:
    """The file as it is published, in `$DATA_DIR/adrenal/`."""
    return read_npz(data_dir("adrenal") / FILE)


def from_zenodo() -> Arrays:
    """The official download."""
    return read_npz(keras_file(URL, MD5))
