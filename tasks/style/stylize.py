"""Paints one picture in the style of another, without a model: its pixels are changed until it is right."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from forms.pictures import PictureError, opened
from tasks.contract import Journal, OwnStep, UserError, check_above_zero, check_between, check_least

PICTURES = 10  # on the way, for people to look at
LEAST_SIDE, MOST_SIDE = 32, 2048
STARTS = ("content", "noise")
FILE = "stylized.png"


@dataclass(frozen=True)
class Sketch:
    """A picture on its way to be stylised.

    Attributes:
        step: How often its pixels were changed.
        losses: By name, "loss" being what is minimised.
        picture: (H, W, 3) uint8.
    """

    step: int
    losses: dict[str, float]
    picture: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a picture is stylised."""

    steps: int = field(default=200, metadata={"help": "how often the pixels are changed"})
    start: str = field(default="content", metadata={"help": "what the picture is at first: content or noise"})
    content_weight: float = field(default=1.0, metadata={"help": "factor of the content loss"})
    style_weight: float = field(default=5.0, metadata={"help": "factor of the style loss"})
    learning_rate: float = field(default=20.0, metadata={"help": "the most that a value, of 255, changes in a step"})
    seed: int = field(default=1, metadata={"help": "seed of the noise of start=noise"})

    def __post_init__(self) -> None:
        check_least(self, 1, "steps", "seed")
        check_least(self, 0, "content_weight", "style_weight")
        check_above_zero(self, "learning_rate")
        if self.start not in STARTS:
            raise UserError(f"start must be one of {', '.join(STARTS)}, received {self.start!r}.")


@dataclass(frozen=True, kw_only=True)
class Stylize(Settings, OwnStep):
    """Paints one picture in the style of another, see tasks.style.optimization.stylize."""

    summary = "Paint one picture in the style of another, without a model: its pixels are changed until it is right."

    content: Path = field(metadata={"help": "what is painted, a PNG or JPEG file"})
    style: Path = field(metadata={"help": "how it is painted, a PNG or JPEG file"})
    size: int = field(default=256, metadata={"help": "longer side in pixels"})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_between(self, LEAST_SIDE, MOST_SIDE, "size")

    @property
    def title(self) -> str:
        return f"{self.content.stem} in the style of {self.style.stem}"

    @property
    def note(self) -> str:
        how = f"{self.steps} steps at {self.size} pixels"
        return f"Paints `{self.content.name}` in the style of `{self.style.name}`, {how}."

    def prepare(self) -> tuple[np.ndarray, np.ndarray]:
        return read(self.content, self.size), read(self.style, self.size)

    def run(self, prepared: tuple[np.ndarray, np.ndarray], journal: Journal) -> str:
        from tasks import drawing  # Keras and Matplotlib take their time

        content, style = prepared
        sketches, seconds = self.paint(content, style, journal)
        first, last = sketches
        journal.log_picture(FILE, last.picture)
        beside = {"content": content, "style": style, "result": last.picture}
        journal.log_figure("figures/triptych.png", drawing.side_by_side(beside))
        journal.log_metrics({"seconds_per_step": seconds})
        losses = ", ".join(f"{key} {first.losses[key]:.4f} → {value:.4f}" for key, value in last.losses.items())
        return f"{losses}; {seconds:.2f} s a step"

    def paint(self, content: np.ndarray, style: np.ndarray, journal: Journal) -> tuple[tuple[Sketch, Sketch], float]:
        """The first and the last sketch, and the median seconds of a step; losses and some pictures are logged."""
        from tasks.style.optimization import stylize

        every = max(1, self.steps // PICTURES)
        times: list[float] = []
        sketches: list[Sketch] = []
        for sketch in journal.watched(timed(stylize(content, style, self), times), self.steps + 1, "step"):
            if not math.isfinite(sketch.losses["loss"]):
                raise UserError(
                    f"The loss of step {sketch.step} is {sketch.losses['loss']}. Try a lower learning_rate."
                )
            journal.log_metrics(sketch.losses, sketch.step)
            if sketch.step % every == 0 or sketch.step == self.steps:
                journal.log_picture("picture", sketch.picture, sketch.step)
            sketches = [*sketches[:1], sketch]
        return (sketches[0], sketches[-1]), statistics.median(times[1:])


def timed(sketches: Iterator[Sketch], times: list[float]) -> Iterator[Sketch]:
    """The sketches; the seconds that each one and what was done with it took are added to `times`."""
    ended = time.perf_counter()
    for sketch in sketches:
        yield sketch
        times.append(time.perf_counter() - ended)
        ended += times[-1]


def read(path: Path, size: int) -> np.ndarray:
    """A PNG or JPEG file as (H, W, 3) uint8, its longer side scaled to `size` pixels."""
    try:
        image = opened(path.read_bytes(), size)
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from error
    except PictureError as error:
        raise UserError(f"{path}: {error}") from error
    scale = size / max(image.size)
    sides = [max(1, round(side * scale)) for side in image.size]
    if min(sides) < LEAST_SIDE:
        raise UserError(f"{path} would be {sides[0]}×{sides[1]} pixels; the shorter side must have {LEAST_SIDE}.")
    return np.asarray(image.resize((sides[0], sides[1]), Image.Resampling.LANCZOS))
