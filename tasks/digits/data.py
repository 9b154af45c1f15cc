"""scikit-learn's digits: 1,797 images of 8×8 (the test part of UCI's Optical Recognition of Handwritten Digits)."""

import numpy as np

from tasks.contract import Split, SplitName
from tasks.sources import fetch

# Where each split begins and ends once the images are shuffled; they come in the order of their writers.
BOUNDS = {"train": (0, 1077), "validation": (1077, 1437), "test": (1437, 1797)}
DIGESTS = {
    "images": "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3",
    "labels": "8ba4f891220f5e4c9c819638d1602d74b83618f167043c6da52a2a247841ddf0",
}


def load(split: SplitName) -> Split:
    """One split: images (N, 8, 8) uint8 in 0..16 and digits (N,) int32."""
    arrays = fetch("digits", [("scikit-learn", _from_scikit_learn)], DIGESTS)
    start, stop = BOUNDS[split]
    rows = np.random.default_rng(0).permutation(len(arrays["images"]))[start:stop]
    return Split(arrays["images"][rows], arrays["labels"][rows].astype(np.int32))


def _from_scikit_learn() -> dict[str, np.ndarray]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return {"images": digits.images.astype(np.uint8), "labels": digits.target.astype(np.uint8)}
