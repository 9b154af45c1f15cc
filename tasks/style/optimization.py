"""One picture stylised by changing its pixels until it is right (Gatys, Ecker & Bethge 2016)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from tasks.contract import Sketch, Split, UserError
from tasks.style.data import painting
from tasks.style.objective import CONTENT_WEIGHT, STYLE_WEIGHT, Objective

STARTS = ("content", "noise")
BASELINE_STEPS, BASELINE_RATE = 200, 20.0


def baseline(split: Split) -> np.ndarray:
    """Each photograph painted by 200 steps, (N, H, W, 3) uint8: what a network that paints at once is measured by."""
    settings = ("content", CONTENT_WEIGHT, STYLE_WEIGHT, BASELINE_RATE, 1)
    bar = keras.utils.Progbar(len(split), unit_name="picture")
    pictures = []
    for photograph in split.inputs:
        *_, last = stylize(photograph, painting(), BASELINE_STEPS, *settings)
        pictures.append(last.picture)
        bar.update(len(pictures))
    return np.stack(pictures)


def stylize(
    content: np.ndarray,
    style: np.ndarray,
    steps: int,
    start: str,
    content_weight: float,
    style_weight: float,
    learning_rate: float,
    seed: int,
) -> Iterator[Sketch]:
    """Paints what is in one picture in the style of another, a sketch a step.

    Args:
        content: Picture (H, W, 3) uint8.
        style: Picture (h, w, 3) uint8.
        steps: How often the pixels are changed; a last sketch shows how they ended.
        start: "content": from the picture itself; "noise": from white noise, as in the paper.
        content_weight: Factor of the content loss.
        style_weight: Factor of the style loss.
        learning_rate: The most that a value is changed in the first step, of 255; it falls to 0 along a cosine.
        seed: Of the noise.

    Raises:
        UserError: The start is none of those.
    """
    if start not in STARTS:
        raise UserError(f"start must be one of {', '.join(STARTS)}, received {start!r}.")
    objective = Objective(style, content_weight, style_weight)
    noise = np.random.default_rng(seed).uniform(0, 255, content.shape)
    canvas = Canvas(objective, content, content if start == "content" else noise)
    # A pixel's gradient falls with their number; beside Keras's epsilon, those of a large picture would be small.
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    canvas.compile(keras.optimizers.Adam(rate, epsilon=1e-12))
    nothing = np.zeros((1, 1))
    for step in range(steps + 1):
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
