"""Parts of the networks."""

from __future__ import annotations

import itertools
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("adrenal")
class MirrorAverage(keras.layers.Wrapper):
    """Test-time augmentation: the mean of what a network makes of a volume and of its mirror images along each axis and
    any of them together, eight in all.

    Takes (N, depth, height, width, channels) and gives the network's (N, F); in training, only the network runs, on the
    volume as it is.
    """

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if training:
            return self.layer(inputs, training=True)
        images = [inputs[:, ::x, ::y, ::z] for x, y, z in itertools.product((1, -1), repeat=3)]
        found = self.layer(ops.concatenate(images, axis=0))  # (8 · N, F)
        return ops.mean(ops.reshape(found, (len(images), -1, found.shape[-1])), axis=0)


@keras.saving.register_keras_serializable("adrenal")
class WeightedCrossentropy(keras.losses.Loss):
    """The cross-entropy in nats, in which an example of the second class counts `weight` times.

    Takes classes (N,) and probabilities (N, 2).
    """

    def __init__(self, weight: float, name: str = "weighted_crossentropy", **options: Any) -> None:
        super().__init__(name=name, **options)
        self.weight = weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        targets = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        losses = keras.losses.sparse_categorical_crossentropy(targets, y_pred)
        return losses * ops.where(targets == 1, self.weight, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": self.weight}
