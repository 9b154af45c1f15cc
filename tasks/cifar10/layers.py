"""Parts of the fast network."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

EPSILON = 5e-4  # keeps patterns that no patch shows from being blown up


def whitening_filters(images: np.ndarray, size: int = 2) -> np.ndarray:
    """Filters of a convolution whose outputs are the whitened patches of its input, and their negatives.

    They are the eigenvectors of the covariance of all patches, each over the root of its eigenvalue; with their
    negatives nothing is lost in the activation that follows (Jordan 2024, section 3.2).

    Args:
        images: What the convolution gets, shape (N, H, W, C).
        size: Side of the patches.

    Returns:
        Shape (size, size, C, 2 · size² · C).
    """
    channels = images.shape[-1]
    patches = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))
    rows = np.moveaxis(patches, 3, -1).reshape(-1, size**2 * channels)
    values, vectors = np.linalg.eigh(np.cov(rows, rowvar=False, dtype=np.float32))
    filters = vectors / np.sqrt(values + EPSILON)
    return np.concatenate([filters, -filters], axis=1).reshape(size, size, channels, -1)


@keras.saving.register_keras_serializable("cifar10")
class Dirac(keras.initializers.Initializer):
    """Convolutions that begin by passing their input on: filter i shows channel i.

    What filters there are beyond the channels begins with random values of variance 1 / (3 · inputs of a filter)
    (Zagoruyko & Komodakis 2017; Jordan 2024, section 3.3).
    """

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Any:
        height, width, channels, filters = shape
        drawn = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")(shape, dtype)
        identity = np.zeros(shape)
        identity[height // 2, width // 2] = np.eye(channels, filters)
        return ops.where(np.arange(filters) < channels, ops.cast(identity, drawn.dtype), drawn)


@keras.saving.register_keras_serializable("cifar10")
class FlipAverage(keras.layers.Wrapper):
    """Test-time augmentation: the mean of what a network says of an image and of the image flipped left to right.

    Takes (N, H, W, C); in training, only the network runs, on the image as it is (Jordan 2024, section 3.5).
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if training:
            return self.layer(inputs, training=True)
        return (self.layer(inputs) + self.layer(inputs[:, :, ::-1])) / 2
