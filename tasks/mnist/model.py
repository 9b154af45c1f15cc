"""Models of the mnist task."""

from functools import partial
from typing import Any

import keras
from keras import layers

from tasks.contract import Config
from tasks.mnist.config import DenseConfig
from tasks.mnist.data import TRAIN_SIZE
from tasks.training import one_cycle

OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": keras.optimizers.SGD,
    "momentum": partial(keras.optimizers.SGD, momentum=0.9),
    "muon": keras.optimizers.Muon,
}


def build(config: Config) -> keras.Model:
    """A compiled model: images (N, 28, 28) uint8 in 0..255 to probabilities (N, 10)."""
    model, optimizer = _dense(config) if isinstance(config, DenseConfig) else _cnn(config)
    model.compile(
        optimizer=optimizer,
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def _dense(config: DenseConfig) -> tuple[keras.Model, keras.optimizers.Optimizer]:
    """One hidden layer; as it comes, the recipe that most introductions share."""
    model = keras.Sequential(
        [
            keras.Input((28, 28), dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(512, kernel_regularizer=keras.regularizers.L2(config.l2) if config.l2 else None),
            *([layers.BatchNormalization()] if config.batch_norm else []),
            layers.ReLU(),
            *([layers.Dropout(config.dropout)] if config.dropout else []),
            layers.Dense(10, activation="softmax"),
        ],
        name="dense",
    )
    return model, _optimizer(config)


def _optimizer(config: DenseConfig) -> keras.optimizers.Optimizer:
    rate: dict[str, Any] = {"learning_rate": config.learning_rate}
    if config.accumulate > 1:
        rate["gradient_accumulation_steps"] = config.accumulate
    return OPTIMIZERS[config.optimizer](**rate)


def _cnn(config: Config) -> tuple[keras.Model, keras.optimizers.Optimizer]:
    """Three small convolutions with batch normalisation: 29,402 parameters.

    Pooling comes before normalisation and activation, which then work on a quarter of the values.
    """
    model = keras.Sequential(
        [
            keras.Input((28, 28), dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Reshape((28, 28, 1)),
            layers.Conv2D(16, 3, use_bias=False),  # (N, 26, 26, 16)
            layers.MaxPooling2D(),  # (N, 13, 13, 16)
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(32, 3, use_bias=False),  # (N, 11, 11, 32)
            layers.MaxPooling2D(),  # (N, 5, 5, 32)
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(64, 3, use_bias=False),  # (N, 3, 3, 64)
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(10, activation="softmax"),
        ],
        name="cnn",
    )
    return model, keras.optimizers.AdamW(one_cycle(config, TRAIN_SIZE), weight_decay=0.01)
