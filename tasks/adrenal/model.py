"""Models of the adrenal task. Each takes volumes (N, 28, 28, 28) uint8 and gives probabilities (N, 2)."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from tasks.adrenal.config import VolumeConfig
from tasks.adrenal.data import LABELS, SIDE, TRAIN_SIZE
from tasks.adrenal.layers import MirrorAverage, WeightedCrossentropy
from tasks.training import one_cycle

MOMENTUM = 0.9  # of means and variances; an epoch has 38 steps, and Keras's 0.99 would have them lag behind the weights


def build(config: VolumeConfig) -> keras.Model:
    """The compiled, untrained model of a configuration."""
    return {"lab": lab, "mirror": mirror}[config.model](config)


def lab(config: VolumeConfig) -> keras.Model:
    """Two convolutions, pooling and a dense layer, as a course writes its first network for volumes."""
    inputs = keras.Input((SIDE, SIDE, SIDE), dtype="uint8")
    x = _inside(inputs, config.coarse)
    x = layers.Conv3D(config.width, 3, activation="relu")(x)  # (N, 26, 26, 26, 16)
    x = layers.MaxPooling3D()(x)
    x = layers.Conv3D(2 * config.width, 3, activation="relu")(x)  # (N, 11, 11, 11, 32)
    x = layers.MaxPooling3D()(x)
    x = layers.Flatten()(x)
    x = layers.Dense(8 * config.width, activation="relu")(x)
    return _compiled(config, inputs, x, config.learning_rate)


def mirror(config: VolumeConfig) -> keras.Model:
    """A residual network after He et al. 2015, small and wide for small volumes, whose features are averaged over the
    mirror images of a gland: a left gland is the mirror image of a right one."""
    inputs = keras.Input((SIDE, SIDE, SIDE), dtype="uint8")
    values = _inside(inputs, config.coarse)
    body = keras.Model(box := keras.Input(values.shape[1:]), _features(box, config.width), name="body")
    return _compiled(config, inputs, MirrorAverage(body)(values), one_cycle(config, TRAIN_SIZE))


def _features(box: keras.KerasTensor, width: int) -> keras.KerasTensor:
    """What is found in a box (N, 28, 28, 28, 1), the mean and the largest value of each of 4 · width maps."""
    x = _normalised(layers.Conv3D(width, 4, strides=2, padding="same", use_bias=False)(box))  # (N, 14, 14, 14, 16)
    for filters in (2 * width, 4 * width):
        x = _normalised(layers.Conv3D(filters, 3, strides=2, padding="same", use_bias=False)(x))  # 7, then 4
        y = _normalised(layers.Conv3D(filters, 3, padding="same", use_bias=False)(x))
        y = layers.Conv3D(filters, 3, padding="same", use_bias=False)(y)
        x = layers.ReLU()(layers.Add()([x, layers.BatchNormalization(momentum=MOMENTUM)(y)]))
    return layers.Concatenate()([layers.GlobalAveragePooling3D()(x), layers.GlobalMaxPooling3D()(x)])


def _normalised(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.ReLU()(layers.BatchNormalization(momentum=MOMENTUM)(x))


def _inside(inputs: keras.KerasTensor, coarse: int) -> keras.KerasTensor:
    """How much of each voxel lies inside the gland (N, side, side, side, 1), from 0 to 1, whatever number a program
    marked the inside with, 1 as well as 255."""
    values = ops.expand_dims(ops.cast(inputs, "float32"), -1)
    values = values / ops.maximum(ops.max(values, axis=(1, 2, 3, 4), keepdims=True), 1.0)
    return layers.AveragePooling3D(coarse, padding="same")(values) if coarse > 1 else values


def _compiled(config: VolumeConfig, inputs: keras.KerasTensor, features: keras.KerasTensor, rate: Any) -> keras.Model:
    """The model that tells the class by features (N, F), ready to be trained at that rate."""
    if config.dropout:
        features = layers.Dropout(config.dropout)(features)
    model = keras.Model(inputs, layers.Dense(len(LABELS), activation="softmax")(features), name=config.model)
    optimizer = keras.optimizers.Adam(rate, weight_decay=config.weight_decay or None)
    loss = "sparse_categorical_crossentropy" if config.weight == 1 else WeightedCrossentropy(config.weight)
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
    return model
