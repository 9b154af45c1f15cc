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
    convolution in place of a transposed one (Odena et al. 2016), fewer filters and a path past the strides. Any height
    and width will do.
    """
    if not isinstance(config, FeedForwardConfig):
        raise TypeError(f"Expected a configuration of this task, received {config!r}.")
    inputs = keras.Input((None, None, 3), dtype="uint8")
    pixels = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = convolution(pixels, config.width, EDGE)
    x = convolution(x, 2 * config.width, strides=2)
    x = convolution(x, 4 * config.width, strides=2)
    for _ in range(config.blocks):
        x = layers.Add()([x, convolution(convolution(x, 4 * config.width), 4 * config.width, activation=None)])
    for filters in (2 * config.width, config.width):
        x = convolution(layers.UpSampling2D()(x), filters)
    # The strides lose details, by which the content loss knows a photograph; they come past (Ronneberger et al. 2015).
    x = layers.Concatenate()([Trimmed()([x, pixels]), convolution(pixels, config.width)])
    x = convolution(x, config.width)
    x = layers.Rescaling(STEEPNESS)(layers.Conv2D(3, EDGE, padding="same")(x))
    outputs = layers.Rescaling(127.5, offset=127.5)(layers.Activation("tanh")(x))
    model = FeedForward(inputs, outputs, name=config.model)
    model.compile(ConvolutionMuon(config.learning_rate, weight_decay=None, adam_weight_decay=None))
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
    """Maps (N, h, w, C) as large as photographs (N, H, W, 3), H ≤ h, W ≤ w: without what the strides added."""

    def call(self, inputs: Any) -> Any:
        maps, photographs = inputs
        _, height, width, _ = ops.shape(photographs)
        return maps[:, :height, :width]


@keras.saving.register_keras_serializable("style")
class FeedForward(keras.Model):
    """Learns from what an objective says of its pictures. It is set before training; the network itself needs none.

    Attributes:
        objective: The losses.
        style_share: From the number of steps taken to what part of the style loss counts in training, 0 to 1.
    """

    objective: Objective | None = None
    style_share: keras.optimizers.schedules.LearningRateSchedule | None = None

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The mean total loss of the pictures; `y` is the content of their photographs."""
        assert self.objective is not None
        content, style = self.objective.losses(ops.cast(y, "float32"), y_pred)
        share = self.style_share(self.optimizer.iterations) if training and self.style_share else 1.0
        return ops.mean(self.objective.total(content, share * style))


@keras.saving.register_keras_serializable("style")
class ConvolutionMuon(keras.optimizers.Muon):
    """Muon for convolutions too: each kernel is a matrix from what a filter sees to the filters (Jordan et al. 2024).

    Keras's own leaves kernels of four dimensions to Adam.
    """

    def _should_use_adamw(self, variable: keras.Variable) -> bool:
        return len(variable.shape) != 4

    def zeropower_via_newtonschulz5(self, x: Any, steps: int) -> Any:
        return ops.reshape(super().zeropower_via_newtonschulz5(as_matrix(x), steps), x.shape)

    def lr_adjust(self, x: Any) -> Any:
        return ops.reshape(super().lr_adjust(as_matrix(x)), x.shape)


def as_matrix(kernel: Any) -> Any:
    """(height, width, in, out) to (height * width * in, out)."""
    return ops.reshape(kernel, (-1, kernel.shape[-1]))
