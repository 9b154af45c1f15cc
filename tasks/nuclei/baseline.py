"""The method without learning that the networks are measured by."""

from __future__ import annotations

import numpy as np

from tasks.contract import Split

BINS = 256  # of a histogram


def otsu(split: Split) -> np.ndarray:
    """What is as bright as each picture's own threshold is of a nucleus: (N, H, W, 2), of 0 and 1."""
    found = np.stack([picture >= threshold(picture) for picture in split.inputs])
    return np.stack([~found, found], axis=-1).astype(np.float32)


def threshold(picture: np.ndarray) -> float:
    """The least brightness of the brighter of two groups, with the largest variance between them (Otsu 1979); infinite
    where the picture is the same everywhere."""
    counts, edges = np.histogram(picture, BINS)
    values = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    sums = np.cumsum(counts * values)
    parted = (below > 0) & (above > 0)
    means = sums[:-1] / np.maximum(below, 1), (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    between = np.where(parted, below * above * (means[0] - means[1]) ** 2, 0.0)
    return float(edges[1 + int(between.argmax())]) if between.any() else np.inf
