"""The network of tasks about pictures in folders."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from tasks.contract import Config
from tasks.pictures import Folder
from tasks.training import one_cycle

WIDTHS = (32, 64, 128, 256)
# With Keras's usual 0.99, half is still of the start after 70 steps; a few hundred pictures give some 20 an epoch.
MOMENTUM = 0.9


def build(folder: Folder, config: Config) -> keras.Model:
    """A compiled model: pictures (N, side, side, 3) uint8 to probabilities (N, labels). In training they are mirrored,
    moved, turned and lit differently from epoch to epoch; in what is served these layers do nothing."""
    pictures = keras.Input((folder.side, folder.side, 3), dtype="uint8")
    x: Any = layers.Rescaling(1 / 127.5, offset=-1)(pictures)
    x = layers.RandomTranslation(0.1, 0.1, fill_mode="reflect")(layers.RandomFlip("horizontal")(x))
    x = layers.RandomContrast(0.2, value_range=(-1, 1))(layers.RandomRotation(0.05, fill_mode="reflect")(x))
    for width in WIDTHS:
        x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization(momentum=MOMENTUM)(x)))
    x = layers.Dropout(0.3)(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(pictures, layers.Dense(len(folder.labels), "softmax")(x))
    optimizer = keras.optimizers.Adam(one_cycle(config, folder.train_examples))
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
