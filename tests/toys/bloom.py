"""Which pixels of a photograph are in bloom: a photograph gets a mask.

The pieces are of scikit-learn's two photographs; what is in bloom is what has much more red than blue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.datasets import load_sample_images

from forms.answers.mask import Mask
from forms.items.photograph import Photograph
from tasks.contract import Config, Figures, Primary, Scores, Split, SplitName, Task

if TYPE_CHECKING:
    import keras

SIDE = 32  # pixels of a piece
COLUMNS = {"train": (0, 12), "validation": (12, 16), "test": (16, 20)}  # of pieces, in both photographs
CLASSES = ("ground", "bloom")


def load(name: SplitName) -> Split:
    first, last = COLUMNS[name]
    pieces = [
        photograph[row : row + SIDE, SIDE * column : SIDE * (column + 1)]
        for photograph in load_sample_images().images
        for column in range(first, last)
        for row in range(0, 13 * SIDE, SIDE)
    ]
    inputs = np.stack(pieces)
    return Split(inputs, (inputs[..., 0].astype(int) > inputs[..., 2] + 40).astype(np.int32))


def build(config: Config) -> keras.Model:
    import keras

    inputs = keras.Input((SIDE, SIDE, 3), dtype="uint8")
    hidden = keras.layers.Rescaling(1 / 255)(inputs)
    hidden = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(hidden)
    model = keras.Model(inputs, keras.layers.Conv2D(len(CLASSES), 1, activation="softmax")(hidden))
    model.compile(keras.optimizers.Adam(config.learning_rate), "sparse_categorical_crossentropy")
    return model


def scores(split: Split, outputs: np.ndarray) -> Scores:
    """The Dice coefficient of each piece, 1 where there is nothing to find and nothing was found."""
    found, right = outputs.argmax(axis=-1) == 1, split.targets == 1
    both, all_ = (found & right).sum(axis=(1, 2)), found.sum(axis=(1, 2)) + right.sum(axis=(1, 2))
    dice = np.where(all_ == 0, 1.0, 2 * both / np.maximum(all_, 1))
    chosen = np.take_along_axis(outputs, split.targets[..., None], axis=-1)[..., 0]
    loss = -np.log(np.clip(chosen, 1e-7, 1)).mean(axis=(1, 2)).astype(np.float64)
    return Scores(dice, np.where(right.any(axis=(1, 2)), "some", "none"), {"loss": loss})


def metrics(found: Scores) -> dict[str, float]:
    return {"dice": float(found.score.mean()), "loss": float(found.columns["loss"].mean())}


def figures(split: Split, outputs: np.ndarray) -> Figures:
    from matplotlib.figure import Figure

    figure = Figure()
    for place, pixels in zip(figure.subplots(1, 2), (split.inputs[0], outputs[0, ..., 1]), strict=True):
        place.imshow(pixels)
    yield "masks.png", figure


TASK = Task(
    name="bloom",
    summary="Tell which pixels of a piece of a photograph are in bloom.",
    models={"tiny": Config(model="tiny", epochs=40, batch_size=16, learning_rate=1e-2)},
    load=load,
    build=build,
    scores=scores,
    metrics=metrics,
    figures=figures,
    primary=Primary(name="dice", floor=0.8, margin=0.02, attainable=1.0),
    item=Photograph(),
    answer=Mask(CLASSES),
)
