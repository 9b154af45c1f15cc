"""Where a bubble is in a box of any size: a volume gets a mask, window by window where it is large."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forms.answers.volume_mask import VolumeMask
from forms.items.volume import Volume
from tasks import segmentation
from tasks.contract import Config, Figures, Primary, Scores, Split, SplitName, Task

if TYPE_CHECKING:
    import keras

CLASSES = ("water", "bubble")
SIDES = (12, 11, 10)  # voxels to the right, to the front and up
WINDOW = 16
SIZES = {"train": (1, 120), "validation": (2, 20), "test": (3, 20)}  # seed, boxes


def load(name: SplitName) -> Split:
    """Boxes (N, *SIDES) float32 with a bubble each, and which of their voxels are in it."""
    seed, count = SIZES[name]
    generator = np.random.default_rng(seed)
    boxes, masks = zip(*(box(SIDES, generator) for _ in range(count)), strict=True)
    return Split(np.stack(boxes), np.stack(masks))


def box(sides: tuple[int, ...], generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A bubble in noise, in any unit, and its mask."""
    centre = [generator.uniform(3, side - 3) for side in sides]
    distance = sum((place - at) ** 2 for place, at in zip(np.indices(sides), centre, strict=True)) ** 0.5
    mask = distance < generator.uniform(2, 4)
    values = (mask + generator.normal(scale=0.2, size=sides)) * 10 ** generator.uniform(-2, 4)
    return values.astype(np.float32), mask.astype(np.int32)


def build(config: Config) -> keras.Model:
    import keras

    from tasks.unet import unet

    model = unet(rank=3, classes=len(CLASSES), filters=4, depth=1)
    model.compile(keras.optimizers.Adam(config.learning_rate), "sparse_categorical_crossentropy")
    return model


def scores(split: Split, outputs: np.ndarray) -> Scores:
    return segmentation.scores(CLASSES, split.targets, outputs, np.full(len(split), "all"))


def metrics(found: Scores) -> dict[str, float]:
    return segmentation.metrics(CLASSES, found)


def figures(split: Split, outputs: np.ndarray) -> Figures:
    from matplotlib.figure import Figure

    figure = Figure()
    for place, pixels in zip(figure.subplots(1, 2), (split.inputs[0, 6], outputs[0, 6, ..., 1]), strict=True):
        place.imshow(pixels)
    yield "masks.png", figure


TASK = Task(
    name="bubbles",
    summary="Find a bubble in a box.",
    models={"tiny": Config(model="tiny", epochs=8, batch_size=8, learning_rate=1e-2)},
    load=load,
    build=build,
    scores=scores,
    metrics=metrics,
    figures=figures,
    primary=Primary(name="dice", floor=0.8, margin=0.05, attainable=1.0),
    item=Volume(dtype="float32", any_size=True, window=WINDOW, spacing=2.0),
    answer=VolumeMask(CLASSES),
)
