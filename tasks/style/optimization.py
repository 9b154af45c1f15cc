"""One picture stylised by changing its pixels until it is right (Gatys, Ecker & Bethge 2016)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from tasks.contract import Split
from tasks.style.data import painting
from tasks.style.objective import CONTENT_WEIGHT, STYLE_WEIGHT, Objective
from tasks.style.stylize import Settings, Sketch


def baseline(split: Split) -> np.ndarray:
    """Each photograph painted by 200 steps, (N, H, W, 3) uint8: what a network that paints at once is measured by."""
    settings = Settings(steps=200, content_weight=CONTENT_WEIGHT, style_weight=STYLE_WEIGHT)
    bar = keras.utils.Progbar(len(split), unit_name="picture")
    pictures = []
    for photograph in split.inputs:
        *_, last = stylize(photograph, painting(), settings)
        pictures.append(last.picture)
        bar.update(len(pictures))
    return np.stack(pictures)


def stylize(content: np.ndarray, style: np.ndarray, settings: Settings) -> Iterator[Sketch]:
    """Paints what is in one picture in the style of another, a sketch a step, and a last one that shows how they ended.

    Args:
        content: Picture (H, W, 3) uint8.
        style: Picture (h, w, 3) uint8.
        settings: How. Its learning rate falls to 0 along a cosine.
    """
    objective = Objective(style, settings.content_weight, settings.style_weight)
    noise = np.random.default_rng(settings.seed).uniform(0, 255, content.shape)
    canvas = Canvas(objective, content, content if settings.start == "content" else noise)
    # A pixel's gradient falls with their number; beside Keras's epsilon, those of a large picture would be small.
    rate = keras.optimizers.schedules.CosineDecay(settings.learning_rate, settings.steps)
    canvas.compile(keras.optimizers.Adam(rate, epsilon=1e-12))
    nothing = np.zeros((1, 1))
    for step in range(settings.steps + 1):
        picture = canvas.painted()
        losses = canvas.train_on_batch(nothing, return_dict=True)  # those of the picture before the step
        canvas.reset_metrics()
        yield Sketch(step, {name: float(value) for name, value in losses.items()}, picture)


class Canvas(keras.Model):
    """A picture that is the only weight of a model, so that Keras's optimizers can paint it. What it is called with
    does not matter.

    Args:
        objective: What it is to become.
        content: The photograph (H, W, 3).
        start: What it is at first (H, W, 3) in 0..255.
    """

    def __init__(self, objective: Objective, content: np.ndarray, start: np.ndarray) -> None:
        super().__init__(name="canvas")
        self.objective = objective
        self.wanted = objective.content(content[None])
        self.pixels = self.add_weight(
            shape=(1, *start.shape), initializer="zeros", constraint=lambda x: ops.clip(x, 0, 255), name="pixels"
        )
        self.pixels.assign(start[None])
        self.content_loss = keras.metrics.Mean(name="content_loss")
        self.style_loss = keras.metrics.Mean(name="style_loss")

    def call(self, inputs: Any) -> Any:
        return ops.convert_to_tensor(self.pixels)

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, *args: Any, **kwargs: Any) -> Any:
        content, style = self.objective.losses(self.wanted, y_pred)
        self.content_loss.update_state(content)
        self.style_loss.update_state(style)
        return ops.mean(self.objective.total(content, style))

    def painted(self) -> np.ndarray:
        """The picture as it is, (H, W, 3) uint8."""
        return np.rint(ops.convert_to_numpy(self.pixels)[0]).astype(np.uint8)
