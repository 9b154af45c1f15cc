"""Paint one picture in the style of another, without a model: its pixels are changed until it is right."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import mlflow
import numpy as np
from PIL import Image
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from forms.pictures import PictureError, opened
from lifecycle import runs
from lifecycle.terminal import import_keras
from tasks.contract import Sketch, Task, UserError, check_above_zero, check_least

PICTURES = 10  # on the way, for people to look at
LEAST_SIDE, MOST_SIDE = 32, 2048
FILE = "stylized.png"


@dataclass(frozen=True)
class Settings:
    """How a picture is stylised.

    Attributes:
        steps: How often the pixels are changed, at least 1.
        start: What the picture is at first, "content" or "noise".
        content_weight: Factor of the content loss, at least 0.
        style_weight: Factor of the style loss, at least 0.
        learning_rate: The most that a value is changed in the first step, of 255, above 0.
        seed: Of the noise, at least 1.
    """

    steps: int
    start: str
    content_weight: float
    style_weight: float
    learning_rate: float
    seed: int

    def __post_init__(self) -> None:
        check_least(self, 1, "steps", "seed")
        check_least(self, 0, "content_weight", "style_weight")
        check_above_zero(self, "learning_rate")


def stylize(task: Task, content: Path, style: Path, size: int, settings: Settings) -> Sketch:
    """Paints `content` in the style of `style`, both scaled to `size` pixels on the longer side, as a run.

    Raises:
        UserError: A picture cannot be read, a setting is out of range, or the task stylises no pictures.
    """
    if task.stylize is None:
        raise UserError(f"{task.name} stylises no pictures. Expected e.g. task=style.")
    if not LEAST_SIDE <= size <= MOST_SIDE:
        raise UserError(f"size must be from {LEAST_SIDE} to {MOST_SIDE} pixels, received {size}.")
    pictures = (read(content, size), read(style, size))
    client = runs.connect()
    name = f"{content.stem} in the style of {style.stem}"
    note = f"Paints `{content.name}` in the style of `{style.name}`, {settings.steps} steps at {size} pixels."
    with runs.step_run(client, task, "stylize", name, note, log_system_metrics=True):
        values = {"content": str(content), "style": str(style), "size": size} | asdict(settings)
        mlflow.log_params({f"config.{key}": value for key, value in values.items()})
        runs.log_code_and_environment()
        import_keras()
        sketches, seconds = paint(task, *pictures, settings)
        first, last = sketches
        log_results(*pictures, last)
        mlflow.log_metric("seconds_per_step", seconds)
        losses = ", ".join(f"{key} {first.losses[key]:.4f} → {value:.4f}" for key, value in last.losses.items())
        runs.describe(f"{note}\n\n{losses}; {seconds:.2f} s a step.")
        print(f"{losses}; {seconds:.2f} s a step")
        print(f"The picture: {mlflow.get_artifact_uri(FILE)}")
    return last


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


def paint(
    task: Task, content: np.ndarray, style: np.ndarray, settings: Settings
) -> tuple[tuple[Sketch, Sketch], float]:
    """The first and the last sketch, and the median seconds of a step; losses and some pictures are logged."""
    assert task.stylize is not None
    every = max(1, settings.steps // PICTURES)
    sketches: list[Sketch] = []
    times: list[float] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        bar = progress.add_task("loss", total=settings.steps)
        ended = time.perf_counter()
        for sketch in task.stylize(content, style, **asdict(settings)):
            times.append(time.perf_counter() - ended)
            ended += times[-1]
            if not math.isfinite(sketch.losses["loss"]):
                raise UserError(
                    f"The loss of step {sketch.step} is {sketch.losses['loss']}. Try a lower learning_rate."
                )
            mlflow.log_metrics(dict(sketch.losses), step=sketch.step)
            if sketch.step % every == 0 or sketch.step == settings.steps:
                mlflow.log_image(sketch.picture, key="picture", step=sketch.step)
                if not progress.console.is_terminal:
                    print(f"step {sketch.step}/{settings.steps}: loss {sketch.losses['loss']:.4f}", flush=True)
            progress.update(bar, completed=sketch.step, description=f"loss {sketch.losses['loss']:.4f}")
            sketches = [*sketches[:1], sketch]
    return (sketches[0], sketches[-1]), statistics.median(times[1:])


def log_results(content: np.ndarray, style: np.ndarray, last: Sketch) -> None:
    """The picture, and a figure of it beside those it was made from."""
    from lifecycle import drawing  # Matplotlib takes its time

    mlflow.log_image(last.picture, FILE)
    mlflow.log_figure(
        drawing.side_by_side({"content": content, "style": style, "result": last.picture}), "figures/triptych.png"
    )
