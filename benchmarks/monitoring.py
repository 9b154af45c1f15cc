"""Windows of test examples, as they are and made worse, held against a model's reference profile.

    python -m benchmarks.monitoring [--task mnist] [--model dense] [--seed 1] [--windows 100] [--size 500]
        [--foreign t10k-images-idx3-ubyte.gz]

Trains a model, makes its profile from the validation split, and draws windows from the test split. Prints for every
way in which they are made worse how many windows alarm, and beside the true accuracy what is estimated without labels:
here, by NannyML's CBPE (for accuracy: the mean of calibrated confidence), by ATC (Garg et al. 2022) and by the
difference of confidences (Guillory et al. 2021). `--foreign` names pictures of something else in MNIST's format, e.g.
Fashion-MNIST of Debian's dataset-fashion-mnist.

ALIKE, CAUTION, SLOPE and the parts of a signature in monitoring/estimate.py were chosen by what this shows, so by
windows of the test split, with `--seed 1` of `dense` and `cnn`. Other seeds and tasks had no part in it.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import ndimage

from monitoring.drift import alarms, findings
from monitoring.estimate import estimated
from monitoring.making import Asked, make_profile
from monitoring.profile import Profile, Window
from serving.export import export
from serving.hidden import expose_hidden
from tasks.contract import Split, Task, get_task

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
UNDISTURBED, ONE_LABEL_LESS, SOME_FOREIGN = "as they are", "one label less", "20 % of something else"
PICTURE_BYTES = 16  # of the head of a file of MNIST's format
FOREIGN_PART = 0.2


@dataclass(frozen=True)
class Set:
    """Examples that windows are drawn from.

    Attributes:
        window: All of them.
        targets: The right labels; -1 where none is.
    """

    window: Window
    targets: np.ndarray

    def rows(self, rows: np.ndarray) -> Set:
        fields = vars(self.window).values()
        return Set(Window(*({name: one[rows] for name, one in of.items()} for of in fields)), self.targets[rows])

    def __add__(self, other: Set) -> Set:
        both = zip(vars(self.window).values(), vars(other.window).values(), strict=True)
        fields = ({name: np.concatenate([one[name], others[name]]) for name in one} for one, others in both)
        return Set(Window(*fields), np.concatenate([self.targets, other.targets]))


Draw = Callable[[np.random.Generator], Set]


class Others:
    """Published estimators of accuracy, of one output. They are fitted on the validation split, as ours is."""

    NAMES = ("CBPE", "ATC", "difference of confidences")

    def __init__(self, profile: Profile, validation: Set) -> None:
        self._calibration = profile.calibrations[""]
        confidences = validation.window.confidences[""]
        self._mean = float(confidences.mean())
        # So that as many validation examples lie below as are wrong.
        self._threshold = float(np.quantile(confidences, 1 - self._calibration.accuracy))

    def say(self, confidences: np.ndarray) -> tuple[float, float, float]:
        accuracy = self._calibration.accuracy
        return (
            self._calibration.expected(confidences),
            float((confidences >= self._threshold).mean()),
            accuracy - (self._mean - float(confidences.mean())),
        )


def changes() -> dict[str, Change]:
    """Ways in which test pictures are made worse; those of the second half are none that profiles are made with."""

    def turned(degrees: float) -> Change:
        return lambda x, _: _written(ndimage.rotate(x.astype(np.float32), degrees, axes=(2, 1), reshape=False, order=1))

    def moved(pixels: int) -> Change:
        return lambda x, _: ndimage.shift(x, (0, pixels, pixels, *[0] * (x.ndim - 3)), order=0)

    def square(x: np.ndarray, size: int) -> tuple[int, ...]:
        return (1, size, size, *[1] * (x.ndim - 3))

    def elastic(x: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return np.stack([_bent(one, generator) for one in x])

    return {
        "noise 0.08": lambda x, g: _written(x + g.normal(0, 0.08 * 255, x.shape)),
        "noise 0.2": lambda x, g: _written(x + g.normal(0, 0.2 * 255, x.shape)),
        "turned by 15°": turned(15),
        "turned by 45°": turned(45),
        "moved by 2 px": moved(2),
        "moved by 4 px": moved(4),
        "negative": lambda x, _: 255 - x,
        "contrast halved": lambda x, _: _written(x * 0.5),
        "brightness × 0.8": lambda x, _: _written(x * 0.8),
        "salt and pepper 5 %": lambda x, g: _peppered(x, 0.05, g),
        "salt and pepper 20 %": lambda x, g: _peppered(x, 0.2, g),
        "every second pixel": lambda x, _: x[:, ::2, ::2].repeat(2, 1).repeat(2, 2),
        "thicker": lambda x, _: ndimage.grey_dilation(x, square(x, 2)),
        "thinner": lambda x, _: ndimage.grey_erosion(x, square(x, 2)),
        "gamma 0.5": lambda x, _: _written(255 * (x / 255) ** 0.5),
        "gamma 2": lambda x, _: _written(255 * (x / 255) ** 2.0),
        "elastic": elastic,
    }


def _written(values: np.ndarray) -> np.ndarray:
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _peppered(pictures: np.ndarray, part: float, generator: np.random.Generator) -> np.ndarray:
    drawn = generator.random(pictures.shape[:3])
    result = pictures.copy()
    result[drawn < part / 2], result[drawn > 1 - part / 2] = 0, 255
    return result


def _bent(picture: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Simard et al. 2003, with a standard deviation of four pixels."""
    height, width = picture.shape[:2]
    down, across = (ndimage.gaussian_filter(generator.uniform(-30, 30, (height, width)), 4) for _ in range(2))
    places = np.mgrid[:height, :width] + np.stack([down, across])
    planes = picture.reshape(height, width, -1).astype(np.float32)
    bent = [ndimage.map_coordinates(planes[..., place], places, order=1) for place in range(planes.shape[2])]
    return _written(np.stack(bent, axis=-1).reshape(picture.shape))


def row(name: str, draw: Draw, profile: Profile, others: Others, windows: int) -> list[str]:
    """What so many windows give, for the table."""
    generator = np.random.default_rng(7)
    alarmed, truths, given, said = 0, [], [], []
    for _ in range(windows):
        drawn = draw(generator)
        alarmed += bool(alarms(findings(profile, drawn.window)))
        truths.append(float((drawn.window.predicted[""] == drawn.targets).mean()))
        given.append(estimated(profile, drawn.window))
        said.append(others.say(drawn.window.confidences[""]))
    known = [(one, truth) for one, truth in zip(given, truths, strict=True) if one.value is not None]
    errors = [abs(one.value - truth) for one, truth in known if one.value is not None]
    covered = [one.low <= truth <= one.high for one, truth in known]
    ours = [f"{np.mean(errors):.3f}", f"{np.mean(covered):.2f}"] if known else ["–", "–"]
    wrong = np.abs(np.array(said) - np.array(truths)[:, None]).mean(axis=0)
    numbers = [f"{alarmed} of {windows}", f"{np.mean(truths):.3f}", f"{len(known)}", *ours]
    return [name, *numbers, *(f"{one:.3f}" for one in wrong)]


def draws(
    task: Task, asked: Asked, profile: Profile, test: Split, size: int, foreign: str | None
) -> Iterator[tuple[str, Draw]]:
    """Every kind of window by its name."""
    generator = np.random.default_rng(3)

    def answered(inputs: np.ndarray, targets: np.ndarray) -> Set:
        return Set(asked.answers(inputs).window(profile.hidden), targets)

    def any_of(one: Set) -> Draw:
        # Each once where there are enough: else all windows would share what chance has put into a small split.
        several = size > len(one.targets) // 2
        return lambda generator: one.rows(generator.choice(len(one.targets), size, replace=several))

    clean = answered(test.inputs, test.targets)
    yield UNDISTURBED, any_of(clean)
    if test.inputs.ndim > 2:
        for name, change in changes().items():
            yield name, any_of(answered(change(test.inputs, generator), test.targets))
    else:
        for place, (name, changed) in enumerate(task.item.corrupted(test.inputs, generator)):
            yield f"{name}, {place + 1}", any_of(answered(changed, test.targets))
    without = [clean.rows(np.flatnonzero(clean.targets != label)) for label in np.unique(clean.targets)]
    yield ONE_LABEL_LESS, lambda generator: any_of(without[generator.integers(0, len(without))])(generator)
    if foreign:
        pictures = np.frombuffer(gzip.decompress(Path(foreign).read_bytes()), np.uint8, offset=PICTURE_BYTES)
        pictures = pictures.reshape(-1, *test.inputs.shape[1:])
        strange = answered(pictures, np.full(len(pictures), -1))
        some = round(FOREIGN_PART * size)
        yield "something else", any_of(strange)
        yield (
            SOME_FOREIGN,
            lambda generator: (
                clean.rows(generator.integers(0, len(clean.targets), size - some))
                + strange.rows(generator.integers(0, len(strange.targets), some))
            ),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="mnist")
    parser.add_argument("--model", default="default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=0, help="0: the model's own")
    parser.add_argument("--windows", type=int, default=100)
    parser.add_argument("--size", type=int, default=500)
    parser.add_argument("--foreign")
    arguments = parser.parse_args()
    task = get_task(arguments.task)
    config = task.configure(arguments.model, seed=arguments.seed, epochs=arguments.epochs)
    keras.utils.set_random_seed(config.seed)
    model, validation = task.build(config), task.load("validation")
    task.fit(model, task.load("train"), validation, config)
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "model.onnx"
        export(model, graph)
        expose_hidden(graph, "")
        profile, asked = make_profile(task, graph, validation), Asked(task, graph)
    test = task.load("test")
    checked = Set(asked.answers(validation.inputs).window(profile.hidden), validation.targets)
    others = Others(profile, checked)
    table = Table(title=f"{task.name} · {config.model}, seed {config.seed} · windows of {arguments.size}")
    columns = ("windows of examples", "alarmed", "accuracy", "estimated", "error", "covered", *Others.NAMES)
    for column in columns:
        table.add_column(column)
    for name, draw in draws(task, asked, profile, test, arguments.size, arguments.foreign):
        windows = 2 * arguments.windows if name == UNDISTURBED else arguments.windows
        table.add_row(*row(name, draw, profile, others, windows))
    print(f"A profile of {len(profile.to_json()) / 1000:.0f} kB.")
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
