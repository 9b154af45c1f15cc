"""A network that paints photographs in one style, in a single pass (Johnson, Alahi & Fei-Fei 2016)."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from tasks.contract import Config
from tasks.style.config import FeedForwardConfig
from tasks.style.objective import Objective

EDGE = 9  # side of the first and the last filters
# Adam moves each weight by the rate at every step, and a value of the last layer follows from a thousand of them:
# at the full range its first steps would paint over the photograph.
SCALE = 4.0


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
    # Zeros, so that the first picture is the photograph: what is in it need not be learnt anew.
    x = layers.Conv2D(3, EDGE, padding="same", kernel_initializer="zeros")(x)
    outputs = Painted()([inputs, x])
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
class Painted(keras.layers.Layer):
    """Photographs (N, H, W, 3) in 0..255, changed by SCALE times values (N, h, w, 3), H ≤ h, W ≤ w."""

    def call(self, inputs: Any) -> Any:
        photographs, changes = inputs
        _, height, width, _ = ops.shape(photographs)
        return ops.clip(ops.cast(photographs, changes.dtype) + SCALE * changes[:, :height, :width], 0, 255)


@keras.saving.register_keras_serializable("style")
class FeedForward(keras.Model):
    """Learns from what an objective says of its pictures. It is set before training; the network itself needs none."""

    objective: Objective | None = None

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, *args: Any, **kwargs: Any) -> Any:
        """The mean total loss of the pictures; `y` is the content of their photographs."""
        assert self.objective is not None
        content, style = self.objective.losses(ops.cast(y, "float32"), y_pred)
        return ops.mean(self.objective.total(content, style))
