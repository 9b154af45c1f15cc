"""Which way a rod lies in a box: a volume gets a label."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from forms.answers.labels import Labels
from forms.items.volume import Volume
from tasks.classification import figures, metrics, scores
from tasks.contract import Config, Primary, Split, SplitName, Task

if TYPE_CHECKING:
    import keras

SIDES = (8, 7, 6)  # voxels to the right, to the front and up
LENGTH = 5
WAYS = ("across", "forwards", "upright")
SIZES = {"train": (1, 240), "validation": (2, 80), "test": (3, 80)}  # seed, rods


def load(name: SplitName) -> Split:
    """Bright rods, one voxel thick, in dim noise."""
    seed, count = SIZES[name]
    generator = np.random.default_rng(seed)
    inputs = generator.integers(0, 60, (count, *SIDES), dtype=np.uint8)
    ways = generator.integers(0, 3, count).astype(np.int32)
    for volume, way in zip(inputs, ways, strict=True):
        start = [int(generator.integers(0, side - (LENGTH - 1) * (axis == way))) for axis, side in enumerate(SIDES)]
        places = [slice(first, first + (LENGTH if axis == way else 1)) for axis, first in enumerate(start)]
        volume[tuple(places)] = 250
    return Split(inputs, ways)


def build(config: Config) -> keras.Model:
    import keras

    inputs = keras.Input(SIDES, dtype="uint8")
    values = keras.layers.Reshape((*SIDES, 1))(keras.layers.Rescaling(1 / 255)(inputs))
    hidden = keras.layers.Conv3D(12, 5, padding="same", activation="relu")(values)
    hidden = keras.layers.GlobalMaxPooling3D()(hidden)
    model = keras.Model(inputs, keras.layers.Dense(len(WAYS), activation="softmax")(hidden))
    model.compile(keras.optimizers.Adam(config.learning_rate), "sparse_categorical_crossentropy")
    return model


TASK = Task(
    name="rods",
    summary="Tell which way a rod lies in a box.",
    models={"tiny": Config(model="tiny", epochs=12, batch_size=16, learning_rate=1e-2)},
    load=load,
    build=build,
    scores=partial(scores, WAYS),
    metrics=metrics,
    figures=partial(figures, WAYS),
    primary=Primary(name="accuracy", floor=0.9, margin=0.05, attainable=1.0),
    item=Volume(),
    answer=Labels(WAYS),
)
