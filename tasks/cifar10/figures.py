"""What the networks look for, and what they find."""

from __future__ import annotations

import keras
import numpy as np
from matplotlib.figure import Figure

from tasks import drawing
from tasks.cifar10.data import LABELS
from tasks.cifar10.model import backbone
from tasks.contract import Figures, Split

FILTERS = 64
MAPS = 12  # of an image
IMAGES = 4


def figures(model: keras.Model, split: Split) -> Figures:
    """The filters of the first convolution, and its feature maps of a few images."""
    body = backbone(model)
    first = next(layer for layer in body.layers if isinstance(layer, keras.layers.Conv2D))
    yield "filters.png", filters(first.get_weights()[0])
    images = split.inputs[:IMAGES]
    maps = keras.Model(body.inputs, first.output).predict(images, verbose=0)
    yield "feature_maps.png", feature_maps(images, [LABELS[target] for target in split.targets[:IMAGES]], maps)


def filters(kernel: np.ndarray) -> Figure:
    """The first filters of (height, width, 3, filters) as colours, each scaled to its own largest weight; grey is 0."""
    weights = np.moveaxis(kernel, -1, 0)[:FILTERS]
    peaks = np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
    pictures = 0.5 + 0.5 * weights / np.maximum(peaks, 1e-12)
    captions = [str(number) for number in range(1, len(pictures) + 1)]
    return drawing.images(pictures, captions, "Filters of the first convolution", columns=8)


def feature_maps(images: np.ndarray, names: list[str], maps: np.ndarray) -> Figure:
    """Images (N, ...), each in a row with its first feature maps (N, height, width, maps); white is the largest."""
    shown = min(MAPS, maps.shape[-1])
    figure = Figure(figsize=(1.1 * (1 + shown), 1.2 * len(images) + 0.5), layout="constrained")
    figure.suptitle("Feature maps of the first convolution")
    rows = figure.subplots(len(images), 1 + shown, squeeze=False)
    for row, image, name, found in zip(rows, images, names, maps, strict=True):
        row[0].imshow(image)
        row[0].set_title(name, fontsize=7)
        for index in range(shown):
            row[1 + index].imshow(found[..., index], cmap="gray")
            row[1 + index].set_title(str(index + 1), fontsize=7)
        for axes in row:
            axes.axis("off")
    return figure
