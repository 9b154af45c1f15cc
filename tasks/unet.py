"""U-Net (Ronneberger, Fischer & Brox 2015), a class for each place of pictures or of volumes of any size.

A network begins with a layer named `whole`, which has to see an item as a whole. Nothing after it needs more than what
it gives: an item that is too large for the rest can be standardised as a whole, and go on window by window.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

WHOLE = "whole"  # the name of the layer that has to see an item as a whole
LEAST_DEVIATION = 1e-6  # of values whose largest is 1; what varies less is rounding
# Of the running statistics. Keras's 0.99 takes hundreds of steps to learn them, which a short training does not have:
# the network then is a good one in training and a useless one where it is asked.
MOMENTUM = 0.9
CONVOLUTION = {2: layers.Conv2D, 3: layers.Conv3D}
POOLING = {2: layers.MaxPooling2D, 3: layers.MaxPooling3D}
UPSAMPLING = {2: layers.UpSampling2D, 3: layers.UpSampling3D}


@keras.saving.register_keras_serializable("unet")
class Standardized(layers.Layer):
    """Items (N, *sides) with mean 0 and deviation 1, each by itself, whatever its unit is.

    NaN marks places that are none, as where items are padded to fill a batch: they have no part in mean and deviation
    and become 0. So do items that are the same everywhere.
    """

    def call(self, inputs: Any) -> Any:
        sides = tuple(range(1, len(inputs.shape)))
        # Asked any other way than by isnan itself, the exported graph multiplies NaN by 0, which is NaN.
        values = ops.where(ops.isnan(inputs), 0.0, inputs)
        known = ops.cast(ops.logical_not(ops.isnan(inputs)), values.dtype)
        largest = ops.max(ops.abs(values), axis=sides, keepdims=True)
        values = values / ops.where(largest > 0, largest, 1.0)  # squares of large values would be infinite
        count = ops.maximum(_total(known), 1.0)
        mean = _total(values) / count
        centred = known * (values - mean)
        deviation = ops.sqrt(_total(ops.square(centred)) / count)
        return ops.where(deviation > LEAST_DEVIATION, centred / ops.maximum(deviation, LEAST_DEVIATION), 0.0)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape


def _total(values: Any) -> Any:
    """The sum of each item (N, *sides), (N, 1, ...). Side by side: added up at once, many values in single precision
    get another sum from TensorFlow than from ONNX Runtime, by more than can be passed over."""
    for side in range(len(values.shape) - 1, 0, -1):
        values = ops.sum(values, axis=side, keepdims=True)
    return values


@keras.saving.register_keras_serializable("unet")
class Padded(layers.Layer):
    """Items (N, *sides) as (N, *padded sides, 1): each side is a multiple of `multiple`, zeros are added at its end.

    Args:
        multiple: At least 1.
    """

    def __init__(self, multiple: int, **options: Any) -> None:
        super().__init__(**options)
        self.multiple = multiple

    def call(self, inputs: Any) -> Any:
        widths = [(0, 0), *((0, self._missing(side)) for side in ops.shape(inputs)[1:])]
        return ops.expand_dims(ops.pad(inputs, widths), -1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        count, *sides = input_shape
        return count, *(side and side + self._missing(side) for side in sides), 1

    def _missing(self, side: Any) -> Any:
        """What a side lacks. The remainder of a negative number would be another in the exported graph."""
        return (self.multiple - side % self.multiple) % self.multiple

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"multiple": self.multiple}


@keras.saving.register_keras_serializable("unet")
class Cropped(layers.Layer):
    """Maps (N, *padded sides, channels) as large as items (N, *sides): without what was added at the ends."""

    def call(self, inputs: Any) -> Any:
        maps, items = inputs
        return maps[(slice(None), *(slice(side) for side in ops.shape(items)[1:]))]

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        maps, items = input_shape
        return *items, maps[-1]


def unet(rank: int, classes: int, filters: int, depth: int, skips: bool = True, name: str = "unet") -> keras.Model:
    """The untrained network: items (N, *sides) float32 to probabilities (N, *sides, classes), which sum to 1.

    As in the paper's section 2, but for `same` padding, so that outputs are as large as items, batch normalisation
    (Ioffe & Szegedy 2015), and on the way up a convolution of 1×1 and upsampling in place of a transposed one: all that
    it makes of a place is the same, so there is no checkerboard (Odena et al. 2016).

    Args:
        rank: Sides of an item, 2 or 3.
        classes: At least 2.
        filters: Of the first level, at least 1; each level below has twice as many.
        depth: Levels below the first, at least 1; each halves the sides.
        skips: Whether what the way down found goes past the levels below, to the way up.
        name: The model's.
    """
    inputs = keras.Input((None,) * rank, dtype="float32")
    whole = Standardized(name=WHOLE)(inputs)
    x = Padded(2**depth)(whole)
    passed = []
    for level in range(depth):
        x = _level(x, rank, filters * 2**level)
        passed.append(x)
        x = POOLING[rank](2)(x)
    x = _level(x, rank, filters * 2**depth)
    for level in reversed(range(depth)):
        x = UPSAMPLING[rank](2)(CONVOLUTION[rank](filters * 2**level, 1)(x))  # before it there are fewer places
        if skips:
            x = layers.Concatenate()([passed[level], x])
        x = _level(x, rank, filters * 2**level)
    x = Cropped()([CONVOLUTION[rank](classes, 1)(x), whole])
    return keras.Model(inputs, layers.Softmax()(x), name=name)


def _level(x: keras.KerasTensor, rank: int, filters: int) -> keras.KerasTensor:
    return _convolution(_convolution(x, rank, filters), rank, filters)


def _convolution(x: keras.KerasTensor, rank: int, filters: int) -> keras.KerasTensor:
    x = CONVOLUTION[rank](filters, 3, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=MOMENTUM)(x))
