"""The task smallest: say here, and in `summary`, what it tells from what.

Its data is made up, so that it can be trained as it is. Put your own into `load`, then look at the rest from the top.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from forms.answers.labels import Labels
from forms.items.row import Row
from tasks import classification
from tasks.contract import Config, Primary, Split, SplitName, Task

if TYPE_CHECKING:
    import keras

COLUMNS = ("width", "height")
LABELS = ("flat", "steep")
BOUNDS = {"train": (0, 700), "validation": (700, 850), "test": (850, 1000)}  # where each split begins and ends


def load(name: SplitName) -> Split:
    """One split, the same in every call: items (N, 2) float32, raw as they will be served, and labels (N,) int32."""
    items = np.random.default_rng(1).uniform(0, 10, (1000, len(COLUMNS))).astype(np.float32)
    labels = (items[:, 1] > items[:, 0]).astype(np.int32)
    rows = slice(*BOUNDS[name])
    return Split(items[rows], labels[rows])


def build(config: Config) -> keras.Model:
    """A compiled, untrained model: items (N, 2) float32 to probabilities (N, 2). Preprocessing is a part of it."""
    import keras  # takes seconds, and promoting and serving do without it
    from keras import layers

    model = keras.Sequential(
        [
            keras.Input((len(COLUMNS),), dtype="float32"),
            layers.Normalization(),  # learns mean and variance from the training split
            layers.Dense(16, activation="relu"),
            layers.Dense(len(LABELS), activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.Adam(config.learning_rate)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


TASK = Task(
    name="smallest",
    summary="Tell flat from steep by width and height (data that is made up).",
    models={"dense": Config("dense", epochs=20, batch_size=32, learning_rate=1e-2)},
    load=load,
    build=build,
    scores=partial(classification.scores, LABELS),
    metrics=classification.metrics,
    figures=partial(classification.figures, LABELS),
    primary=Primary(name="accuracy", floor=0.9, margin=0.05, attainable=1.0),
    item=Row(COLUMNS, example=(3.0, 4.0)),
    answer=Labels(LABELS),
)
