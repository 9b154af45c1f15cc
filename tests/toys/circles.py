"""Noisy circles: the second source of data for the networks of `nuclei`, for which nothing has to be downloaded."""

from __future__ import annotations

import dataclasses

import numpy as np

from tasks.contract import Split, SplitName
from tasks.nuclei import TASK as NUCLEI

SIDE = 128  # pixels
SIZES = {"train": 200, "validation": 30, "test": 50}
NOISE = 0.3  # deviation, of what is 1 inside of circles and 0 outside


def load(name: SplitName) -> Split:
    """Pictures (N, 128, 128) float32 of one to three circles that do not touch, and the number of each pixel's circle
    (N, 128, 128) int32."""
    generator = np.random.default_rng(list(SIZES).index(name))
    labels = np.stack([circles(generator) for _ in range(SIZES[name])])
    noise = generator.normal(scale=NOISE, size=labels.shape)
    return Split(((labels > 0) + noise).astype(np.float32), labels)


def circles(generator: np.random.Generator) -> np.ndarray:
    """One picture's labels, (128, 128) int32."""
    rows, columns = np.indices((SIDE, SIDE))
    labels = np.zeros((SIDE, SIDE), np.int32)
    for _ in range(generator.integers(1, 4)):
        y, x, radius = *generator.integers(SIDE, size=2), generator.integers(8, 25)
        distances = np.hypot(rows - y, columns - x)
        if not labels[distances <= radius + 2].any():
            labels[distances <= radius] = labels.max() + 1
    return labels


TASK = dataclasses.replace(
    NUCLEI,
    name="circles",
    summary="Find noisy circles.",
    load=load,
    models={name: dataclasses.replace(config, epochs=6) for name, config in NUCLEI.models.items()},
)
