"""Items made worse on purpose, in several ways and strengths: what a model answers to them shows how far its
confidence can be believed once other items come than it was validated on.

The ways follow Hendrycks & Dietterich (2019), "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", for pictures, and Schelter et al. (2020), "Learning to Validate the Predictions of Black Box Classifiers
on Unseen Data", for tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage

Corrupted = Iterator[tuple[str, np.ndarray]]  # a kind, and the items that were made worse in that way

DEGREES = (10, -20, 30, -45, 60, 90, 180)
MOVES = ((0.04, 0.04), (0.0, -0.1), (0.08, -0.08), (0.12, 0.0), (0.12, 0.12))  # of the sides, down and across
ZOOMS = (0.7, 0.85, 1.2, 1.5)
BLURS = (0.02, 0.04, 0.07)  # of the sides, standard deviations
HOLES = (0.2, 0.35, 0.5)  # of the sides
BRIGHTNESSES = (0.6, 0.8, 1.3)
CONTRASTS = (0.3, 0.6)
NOISES = (0.05, 0.1, 0.2, 0.4)  # of white, standard deviations
DEVIATIONS = (0.25, 0.5, 1.0, 2.0)  # of a value
FACTORS = (0.5, 0.8, 1.25, 2.0)
PARTS = (0.1, 0.3, 0.6)
TURNS = ((15, (1, 2)), (-30, (1, 3)), (45, (2, 3)), (90, (1, 2)), (180, (1, 3)))  # degrees, about the third of the axes
SHIFTS = ((0.1, 0, 0), (0, -0.1, 0.1), (0.2, 0, -0.2))  # of the sides
LEVELS = (-0.25, 0.25)  # of the range of values


def of_pictures(pictures: np.ndarray, white: int, generator: np.random.Generator) -> Corrupted:
    """Pictures (N, height, width) or (N, height, width, 3) uint8 in 0..white."""
    height, width = pictures.shape[1:3]
    light = pictures.astype(np.float32)

    def written(values: np.ndarray) -> np.ndarray:
        return np.rint(values).clip(0, white).astype(np.uint8)

    for degrees in DEGREES:
        yield "turned", written(ndimage.rotate(light, degrees, axes=(2, 1), reshape=False, order=1))
    for down, across in MOVES:
        offset = (0, round(down * height), round(across * width), *[0] * (light.ndim - 3))
        yield "moved", written(ndimage.shift(light, offset, order=0))
    for zoom in ZOOMS:
        yield "of another size", written(_zoomed(light, zoom))
    for blur in BLURS:
        sigmas = (0, blur * height, blur * width, *[0] * (light.ndim - 3))
        yield "blurred", written(ndimage.gaussian_filter(light, sigmas))
    for hole in HOLES:
        yield "covered in part", written(_covered(light, hole, generator))
    mean = light.mean(axis=(1, 2), keepdims=True)
    for factor in BRIGHTNESSES:
        yield "of another brightness", written(light * factor)
    for factor in CONTRASTS:
        yield "of less contrast", written(mean + factor * (light - mean))
    for noise in NOISES:
        yield "noisy", written(light + generator.normal(0, noise * white, light.shape))
    yield "negative", written(white - light)
    yield "mirrored", written(light[:, :, ::-1])


def _zoomed(light: np.ndarray, zoom: float) -> np.ndarray:
    """Enlarged or made smaller about the middle."""
    scale = np.array([1, 1 / zoom, 1 / zoom, *[1] * (light.ndim - 3)])
    middle = (np.array(light.shape) - 1) / 2
    return ndimage.affine_transform(light, scale, middle - scale * middle, order=1)


def _covered(light: np.ndarray, part: float, generator: np.random.Generator) -> np.ndarray:
    """A black rectangle over each, anywhere."""
    covered = light.copy()
    height, width = (max(1, round(part * side)) for side in light.shape[1:3])
    downs = generator.integers(0, light.shape[1] - height + 1, len(light))
    acrosses = generator.integers(0, light.shape[2] - width + 1, len(light))
    for one, down, across in zip(covered, downs, acrosses, strict=True):
        one[down : down + height, across : across + width] = 0
    return covered


def of_volumes(volumes: np.ndarray, generator: np.random.Generator) -> Corrupted:
    """Volumes (N, depth, height, width) uint8 or float32; what comes in from beyond their edge is their least value."""
    values = volumes.astype(np.float32)
    low, sides = values.min(), np.array(values.shape[1:])
    span = values.max() - low

    def written(worse: np.ndarray) -> np.ndarray:
        return np.rint(worse).clip(0, 255).astype(np.uint8) if volumes.dtype == np.uint8 else worse.astype(np.float32)

    for degrees, axes in TURNS:
        yield "turned", written(ndimage.rotate(values, degrees, axes=axes, reshape=False, order=1, cval=low))
    for shift in SHIFTS:
        yield "moved", written(ndimage.shift(values, (0, *np.rint(shift * sides)), order=0, cval=low))
    for blur in BLURS:
        yield "blurred", written(ndimage.gaussian_filter(values, (0, *blur * sides)))
    for noise in NOISES:
        yield "noisy", written(values + generator.normal(0, noise * span, values.shape))
    for hole in HOLES:
        yield "covered in part", written(_boxed(values, hole, low, generator))
    for level in LEVELS:
        yield "of another level", written(values + level * span)
    for axis in (1, 2, 3):
        yield "mirrored", written(np.flip(values, axis))


def _boxed(values: np.ndarray, part: float, filling: float, generator: np.random.Generator) -> np.ndarray:
    """A box of one value in each, anywhere."""
    covered = values.copy()
    sides = np.array(values.shape[1:])
    lengths = np.maximum(1, np.rint(part * sides).astype(int))
    starts = generator.integers(0, sides - lengths + 1, (len(values), 3))
    for one, start in zip(covered, starts, strict=True):
        one[tuple(slice(first, first + length) for first, length in zip(start, lengths, strict=True))] = filling
    return covered


def of_numbers(items: np.ndarray, generator: np.random.Generator, fixed: Sequence[int] = ()) -> Corrupted:
    """Items (N, ...) of numbers.

    Args:
        items: uint8 or float32.
        generator: For what is drawn.
        fixed: Places among an item's values that no number can be added to: they stand for words.
    """
    flat = items.reshape(len(items), -1).astype(np.float32)
    free = np.setdiff1d(np.arange(flat.shape[1]), np.array(fixed, dtype=int))
    deviation = flat.std(axis=0)

    def written(values: np.ndarray) -> np.ndarray:
        shaped = values.reshape(items.shape)
        return np.rint(shaped).clip(0, 255).astype(np.uint8) if items.dtype == np.uint8 else shaped.astype(items.dtype)

    def changed(values: np.ndarray) -> np.ndarray:
        result = flat.copy()
        result[:, free] = values[:, free]
        return written(result)

    if len(free):
        for size in DEVIATIONS:
            yield "noisy", changed(flat + size * deviation * generator.normal(size=flat.shape))
            for sign in (1, -1):
                yield "of another level", changed(flat + sign * size * deviation)
        for factor in FACTORS:
            yield "in another unit", changed(flat * factor)
    for part in PARTS:
        places = generator.permutation(flat.shape[1])[: max(1, round(part * flat.shape[1]))]
        mixed = flat.copy()
        for place in places:
            mixed[:, place] = generator.permutation(flat[:, place])
        yield "values of others", written(mixed)
