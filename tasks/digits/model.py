"""Models of the digits task."""

import keras
from keras import layers

from tasks.contract import Config


def build(config: Config) -> keras.Model:
    """A compiled model: images (N, 8, 8) uint8 in 0..16 to probabilities (N, 10)."""
    hidden = {"dense": [layers.Dense(64, activation="relu"), layers.Dropout(0.1)], "linear": []}[config.model]
    model = keras.Sequential(
        [
            keras.Input((8, 8), dtype="uint8"),
            layers.Rescaling(1 / 16),
            layers.Flatten(),
            *hidden,
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(config.learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model
