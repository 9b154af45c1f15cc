"""A network that paints photographs in one style, in a single pass (Johnson, Alahi & Fei-Fei 2016)."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from tasks.contract import Config
from tasks.style.config import FeedForwardConfig
from tasks.style.objective import Objective

EDGE = 9  # side of the first and the last filters
STEEPNESS = 0.25  # of the last activation: what is not learnt yet is grey, and no pixel is stuck at black or white


def build(config: Config) -> keras.Model:
    """The compiled, untrained network: photographs (N, H, W, 3) uint8 to pictures of that size, float32 in 0..255.

    As in the paper's supplement, section 1, but for instance normalisation (Ulyanov et al. 2016), resizing before a
    convolution in place of a transposed one (Odena et al. 2016) and fewer filters. Any height and width will do.
    """
    if not isinstance(config, FeedForwardConfig):
        raise TypeError(f"Expected a configuration of this task, received {config!r}.")
    inputs = keras.Input((None, None, 3), dtype="uint8")
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = convolution(x, config.width, EDGE)
    x = convolution(x, 2 * config.width, strides=2)
    x = convolution(x, 4 * config.width, strides=2)
    for _ in range(config.blocks):
        x = layers.Add()([x, convolution(convolution(x, 4 * config.width), 4 * config.width, activation=None)])
    for filters in (2 * config.width, config.width):
        x = convolution(layers.UpSampling2D()(x), filters)
    x = layers.Rescaling(STEEPNESS)(layers.Conv2D(3, EDGE, padding="same")(x))
    x = layers.Rescaling(127.5, offset=127.5)(layers.Activation("tanh")(x))
    outputs = Trimmed()([x, inputs])
    model = FeedForward(inputs, outputs, name=config.model)
    model.compile(keras.optimizers.Adam(config.learning_rate))
    return model


def convolution(
    x: keras.KerasTensor, filters: int, size: int = 3, strides: int = 1, activation: str | None = "relu"
) -> keras.KerasTensor:
    """A convolution whose maps are normalised, each picture by itself."""
    x = layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False)(x)
    # As many groups as channels make group normalisation instance normalisation (Wu & He 2018, section 3).
    x = layers.GroupNormalization(groups=-1, epsilon=1e-5)(x)
    return layers.Activation(activation)(x) if activation else x


@keras.saving.register_keras_serializable("style")
class Trimmed(keras.layers.Layer):
    """Pictures (N, h, w, 3) as large as photographs (N, H, W, 3), H ≤ h, W ≤ w: without what the strides added."""

    def call(self, inputs: Any) -> Any:
        pictures, photographs = inputs
        _, height, width, _ = ops.shape(photographs)
        return pictures[:, :height, :width]


@keras.saving.register_keras_serializable("style")
class FeedForward(keras.Model):
    """Learns from what an objective says of its pictures. It is set before training; the network itself needs none."""

    objective: Objective | None = None

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, *args: Any, **kwargs: Any) -> Any:
        """The mean total loss of the pictures; `y` is the content of their photographs."""
        assert self.objective is not None
        content, style = self.objective.losses(ops.cast(y, "float32"), y_pred)
        return ops.mean(self.objective.total(content, style))
