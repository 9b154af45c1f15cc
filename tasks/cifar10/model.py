"""Models of the cifar10 task. Each takes images (N, 32, 32, 3) uint8 in 0..255 and gives probabilities (N, 10)."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from tasks.cifar10.config import CnnConfig, FastConfig, ResNetConfig
from tasks.cifar10.data import LABELS, TRAIN_SIZE
from tasks.cifar10.layers import Dirac, FlipAverage, whitening_filters
from tasks.contract import Config
from tasks.training import one_cycle

WHITENING = "whitening"
WHITENING_IMAGES = 5_000  # their 4.8 million patches are sample enough for a covariance of 12 values
SHAPE = (32, 32, 3)
# Of the training split's pixels, by channel.
MEAN = (125.3, 123.0, 114.0)
STD = (63.0, 62.1, 66.7)


def build(config: Config) -> keras.Model:
    """The compiled, untrained model of a configuration."""
    match config:
        case CnnConfig():
            return cnn(config)
        case ResNetConfig():
            return resnet(config)
        case FastConfig():
            return fast(config)
    raise TypeError(f"Expected a configuration of this task, received {config!r}.")


def cnn(config: CnnConfig) -> keras.Model:
    """Two convolutions and a dense layer; as it comes, the recipe that most introductions share."""
    model = keras.Sequential(
        [
            keras.Input(SHAPE, dtype="uint8"),
            layers.Rescaling(1 / 255),
            *_convolution(32, config.batch_norm),  # (N, 15, 15, 32)
            *_convolution(64, config.batch_norm),  # (N, 6, 6, 64)
            layers.Flatten(),
            *([layers.Dropout(config.dropout)] if config.dropout else []),
            layers.Dense(512, activation="relu"),
            *([layers.Dropout(config.dropout)] if config.dropout else []),
            layers.Dense(len(LABELS), activation="softmax"),
        ],
        name="cnn",
    )
    rate = one_cycle(config, TRAIN_SIZE) if config.one_cycle else config.learning_rate
    optimizer = keras.optimizers.Adam(rate, weight_decay=config.weight_decay or None)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _convolution(filters: int, batch_norm: bool) -> list[keras.Layer]:
    if batch_norm:
        return [
            layers.Conv2D(filters, 3, use_bias=False),
            layers.MaxPooling2D(),
            layers.BatchNormalization(),
            layers.ReLU(),
        ]
    return [layers.Conv2D(filters, 3, activation="relu"), layers.MaxPooling2D()]


def resnet(config: ResNetConfig) -> keras.Model:
    """A residual network for small images, after He et al. 2015, section 4.2.

    Wider than there and not as deep, with projections where the shape changes (option B), trained in one cycle.
    """
    inputs = keras.Input(SHAPE, dtype="uint8")
    x = _standardized()(inputs)
    x = layers.Conv2D(config.width, 3, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    for stage in range(3):
        for block in range(config.blocks):
            x = residual_block(x, config.width * 2**stage, strides=2 if stage and not block else 1)
    x = layers.GlobalAveragePooling2D()(x)
    outputs = layers.Dense(len(LABELS), activation="softmax")(x)
    model = keras.Model(inputs, outputs, name="resnet")
    optimizer = keras.optimizers.SGD(
        one_cycle(config, TRAIN_SIZE), momentum=0.9, nesterov=True, weight_decay=config.weight_decay
    )
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def residual_block(x: keras.KerasTensor, filters: int, strides: int = 1) -> keras.KerasTensor:
    """Two normalised convolutions beside a shortcut, added before the last activation (He et al. 2015, figure 2).

    The shortcut is the input itself, or where the shape changes a 1×1 convolution of it (equation 2, option B).
    """
    shortcut = x
    if strides != 1 or x.shape[-1] != filters:
        shortcut = layers.Conv2D(filters, 1, strides=strides, use_bias=False)(x)
        shortcut = layers.BatchNormalization()(shortcut)
    y = layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)(x)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.Conv2D(filters, 3, padding="same", use_bias=False)(y)
    y = layers.BatchNormalization()(y)
    return layers.ReLU()(layers.Add()([y, shortcut]))


def fast(config: FastConfig) -> keras.Model:
    """Whitened patches and three groups of two convolutions, after Jordan 2024 (airbench94, section 3).

    Left out of it: the bias of the whitening and its own rates for biases, label smoothing and Lookahead. SiLU takes
    the place of GELU, whose Erfc the export to ONNX does not know.
    """
    inputs = keras.Input(SHAPE, dtype="uint8")
    x = _standardized()(inputs)
    x = layers.Conv2D(24, 2, use_bias=False, trainable=False, name=WHITENING)(x)  # (N, 31, 31, 24)
    x = layers.Activation("silu")(x)
    for filters in (config.width, 4 * config.width, 4 * config.width):
        x = _group(x, filters)  # (N, 15, 15, ...), (N, 7, 7, ...), (N, 3, 3, ...)
    x = layers.GlobalMaxPooling2D()(x)
    x = layers.Dense(len(LABELS), use_bias=False)(x)
    logits = layers.Rescaling(1 / 9)(x)  # what is not learnt yet stays undecided, at rates as high as these
    body = keras.Model(inputs, logits, name="body")

    outputs = layers.Softmax()(FlipAverage(body)(inputs))
    model = keras.Model(inputs, outputs, name="fast")
    optimizer = keras.optimizers.SGD(
        one_cycle(config, TRAIN_SIZE), momentum=0.85, nesterov=True, weight_decay=config.weight_decay
    )
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _standardized() -> keras.Layer:
    """Mean 0 and variance 1 in each channel."""
    scale = [1 / std for std in STD]
    return layers.Rescaling(scale, offset=[-mean / std for mean, std in zip(MEAN, STD, strict=True)])


def _group(x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    """Two convolutions; the first is pooled before it is normalised, which then works on a quarter of the values."""
    for pool in (True, False):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer=Dirac())(x)
        if pool:
            x = layers.MaxPooling2D()(x)
        x = layers.BatchNormalization(scale=False, momentum=0.6)(x)
        x = layers.Activation("silu")(x)
    return x


def whiten(model: keras.Model, images: np.ndarray) -> None:
    """Sets the fixed first convolution of the `fast` model from images (N, 32, 32, 3) uint8."""
    body = backbone(model)
    seen = keras.ops.convert_to_numpy(_standardized()(images[:WHITENING_IMAGES]))
    body.get_layer(WHITENING).set_weights([whitening_filters(seen)])


def backbone(model: keras.Model) -> keras.Model:
    """The network that FlipAverage wraps, or the model itself where nothing is wrapped."""
    return next((layer.layer for layer in model.layers if isinstance(layer, FlipAverage)), model)
