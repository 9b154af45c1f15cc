"""The negative of a photograph of any size: a photograph gets a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.datasets import load_sample_images

from forms.answers.picture import Picture
from forms.items.photograph import Photograph
from tasks.contract import Config, Figures, Primary, Scores, Split, SplitName, Task

if TYPE_CHECKING:
    import keras

SIDE = 64  # pixels of a piece that it learns from
COLUMNS = {"train": (0, 6), "validation": (6, 8), "test": (8, 10)}  # of pieces, in both photographs


def load(name: SplitName) -> Split:
    first, last = COLUMNS[name]
    pieces = np.stack(
        [
            photograph[row : row + SIDE, SIDE * column : SIDE * (column + 1)]
            for photograph in load_sample_images().images
            for column in range(first, last)
            for row in range(0, 6 * SIDE, SIDE)
        ]
    )
    return Split(pieces, 255 - pieces)


def build(config: Config) -> keras.Model:
    import keras

    inputs = keras.Input((None, None, 3), dtype="uint8")
    values = keras.layers.Conv2D(3, 1)(keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs))
    model = keras.Model(inputs, keras.layers.Rescaling(127.5, offset=127.5)(values))
    model.compile(keras.optimizers.Adam(config.learning_rate), "mse")
    return model


def scores(split: Split, outputs: np.ndarray) -> Scores:
    error = np.abs(outputs.astype(float) - split.targets).mean(axis=(1, 2, 3))
    return Scores(error, np.where(split.inputs.mean(axis=(1, 2, 3)) < 128, "dark", "light"), {})


def metrics(found: Scores) -> dict[str, float]:
    return {"mae": float(found.score.mean()), "loss": float(found.score.mean())}


def figures(split: Split, outputs: np.ndarray) -> Figures:
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().imshow(outputs[0].astype(np.uint8))
    yield "negative.png", figure


TASK = Task(
    name="negative",
    summary="Make the negative of a photograph.",
    models={"tiny": Config(model="tiny", epochs=20, batch_size=8, learning_rate=3e-2)},
    load=load,
    build=build,
    scores=scores,
    metrics=metrics,
    figures=figures,
    primary=Primary(name="mae", floor=20.0, margin=1.0, attainable=0.0, higher_is_better=False, share=False),
    item=Photograph(any_size=True),
    answer=Picture(),
    latency_bound_ms=1000.0,
)
