"""The contract between a task and the rest of the project.

A task is a folder `tasks/<name>/` whose package defines `TASK`, a frozen `Task`. Steps, registry and
serving know tasks through this module only, so a new task needs no change outside its own folder.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import importlib
import math
import pkgutil
import sys
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import tasks

if TYPE_CHECKING:  # Keras and Matplotlib take seconds to import; only training and drawing need them.
    import keras
    from matplotlib.figure import Figure

SplitName = Literal["train", "validation", "test"]
Figures = Iterator[tuple[str, "Figure"]]


class UserError(Exception):
    """A mistake of the user's, told in one line: what was expected, what came, what to do."""


def one_line(reason: object) -> str:
    """An error, or whatever else may have several lines, as one."""
    return " ".join(str(reason).split())


def how_to_run(entry_point: str, **parameters: str) -> str:
    """The command line that runs an entry point in the environment of this process, for people to copy."""
    environment = Path(sys.prefix)
    manager = "--env-manager local"
    if environment.name.startswith("mlflow-"):  # `mlflow run` made it, and makes it known by that name
        manager = "" if (environment / "conda-meta").is_dir() else "--env-manager uv"
    given = [f"-P {name}={value}" for name, value in parameters.items()]
    return " ".join(filter(None, ["mlflow run .", f"-e {entry_point}", *given, manager]))


def check_least(settings: object, least: int, *names: str) -> None:
    """Refuses attributes of these names that are below `least`, infinite or not a number."""
    for name in names:
        value = getattr(settings, name)
        if not least <= value < math.inf:
            kind = "a finite number of " if isinstance(value, float) else ""
            raise UserError(f"{name} must be {kind}at least {least}, received {value}.")


def check_above_zero(settings: object, name: str) -> None:
    """Refuses an attribute that is 0 or below, infinite or not a number."""
    if not 0 < (value := getattr(settings, name)) < math.inf:
        raise UserError(f"{name} must be a finite number above 0, received {value}.")


def check_share(settings: object, name: str) -> None:
    """Refuses an attribute that is below 0 or not below 1."""
    if not 0 <= (value := getattr(settings, name)) < 1:
        raise UserError(f"{name} must be at least 0 and below 1, received {value}.")


def check_between(settings: object, least: int, most: int, name: str) -> None:
    """Refuses an attribute that is below `least` or above `most`."""
    if not least <= (value := getattr(settings, name)) <= most:
        raise UserError(f"{name} must be from {least} to {most}, received {value}.")


@dataclass(frozen=True)
class Split:
    """Examples of one split, in a fixed order.

    Attributes:
        inputs: Raw values as they are served, uint8 or float32, of shape (N, ...).
        targets: The right answers, of shape (N, ...).
        judge: What else outputs are judged by, where it is not the same everywhere, e.g. a loss network.
    """

    inputs: np.ndarray
    targets: np.ndarray
    judge: str = ""

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.targets):
            raise ValueError(
                f"Expected as many targets as inputs, received {len(self.targets)} for {len(self.inputs)}."
            )

    def __len__(self) -> int:
        return len(self.inputs)

    def subset(self, count: int, seed: int) -> Split:
        """`count` examples drawn without replacement. With one seed, a smaller subset is part of every larger one.

        Raises:
            UserError: There are not that many.
        """
        if count > len(self):
            raise UserError(f"train_examples must be at most {len(self)}, received {count}.")
        rows = np.random.default_rng(seed).permutation(len(self))[:count]
        return dataclasses.replace(self, inputs=self.inputs[rows], targets=self.targets[rows])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the judge and of the dtype, shape and values of both arrays, in hexadecimal."""
        hasher = hashlib.sha256(self.judge.encode())
        for array in (self.inputs, self.targets):
            hasher.update(f"{array.dtype.str}{array.shape}".encode())
            hasher.update(np.ascontiguousarray(array).data)
        return hasher.hexdigest()


@dataclass(frozen=True)
class Config:
    """What decides a training run, next to code and data. A task may add fields of its own.

    Attributes:
        model: Name of the model, a key of `Task.models`.
        epochs: Passes over the training split, at least 1.
        batch_size: Examples per gradient step, at least 1.
        learning_rate: Peak step size of the optimizer, above 0.
        seed: Seed of initialisation, shuffling and dropout, at least 1 and below 2**32.
        train_examples: How many examples of the training split to learn from, drawn by the seed; 0 for all.
    """

    model: str
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int = 1
    train_examples: int = 0

    def __post_init__(self) -> None:
        check_least(self, 1, "epochs", "batch_size", "seed")
        check_least(self, 0, "train_examples")
        if self.seed >= 2**32:
            raise UserError(f"seed must be below {2**32}, received {self.seed}.")
        check_above_zero(self, "learning_rate")


@dataclass(frozen=True)
class Primary:
    """The metric that decides which model is better.

    Attributes:
        name: Metric name without the split, e.g. "accuracy". It is the mean of the per-example scores.
        floor: What a candidate has to reach on the test split to be promoted, at least; where lower is better, at most.
        margin: By how much a candidate may be worse than the champion and still count as "no worse".
        attainable: What people, or the best models known, reach. How far the training split is from it is bias.
        higher_is_better: Direction.
        share: Whether it is a share from 0 to 1, of which people speak in percent and points.
    """

    name: str
    floor: float
    margin: float
    attainable: float
    higher_is_better: bool = True
    share: bool = True

    @property
    def sign(self) -> int:
        """Times a value: what is larger is better."""
        return 1 if self.higher_is_better else -1


@dataclass(frozen=True)
class Picture:
    """How a picture of any size and colour becomes an item of the model.

    Attributes:
        kind: "ink": one sign on plain ground; it is cut out, fitted into a box and centred by its mass, as light on
            dark. "photograph": scaled, and cropped to the middle.
        white: The largest value of an item, which stands for full ink or for white.
        box: The part of the item's side that the longer side of the ink takes, above 0, at most 1.
    """

    kind: Literal["ink", "photograph"]
    white: int = 255
    box: float = 1.0


@dataclass(frozen=True)
class Presentation:
    """How a person shows something to the model, and how a prediction is shown to a person.

    Attributes:
        kind: "labels": one score per name, they sum to 1. "picture": red, green and blue in 0..255, of the item's
            height and width, which may be any.
        labels: Names in the order of the model's outputs, for the kind "labels".
        picture: How a person's picture becomes an item; None where items are no pictures.
    """

    kind: Literal["labels", "picture"]
    labels: tuple[str, ...] = ()
    picture: Picture | None = None


@dataclass(frozen=True)
class Study:
    """Variants of a model, each to be trained with several seeds and compared on the validation split.

    Attributes:
        question: What it is to find out, one sentence.
        variants: Configurations by name; their seeds are replaced. The first is the reference.
        comparisons: Pairs of variants to be tested, decided before anything is trained; by default each against the
            reference.
        by_examples: Whether the variants differ in `train_examples`: the report draws along it and says whether more
            data would help.
        target: Of the primary metric on the validation split; epochs and seconds until it is reached are compared too.
        timed: Whether seconds are part of the answer: the runs then have the machine for themselves, one at a time.
    """

    question: str
    variants: Mapping[str, Config]
    comparisons: tuple[tuple[str, str], ...] = ()
    by_examples: bool = False
    target: float | None = None
    timed: bool = False

    def __post_init__(self) -> None:
        if unknown_names := {name for pair in self.comparisons for name in pair} - self.variants.keys():
            raise ValueError(f"Expected comparisons of variants, received {', '.join(sorted(unknown_names))}.")

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """What is tested."""
        first, *others = self.variants
        return self.comparisons or tuple((other, first) for other in others)


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole ones where the field is of type int."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Search:
    """Where to look for a better configuration.

    Attributes:
        base: What stays as it is.
        space: What to try for some of its fields: a range, or a tuple of values.
    """

    base: Config
    space: Mapping[str, Range | tuple[Any, ...]]


@dataclass(frozen=True)
class Scores:
    """One row an example: what all metrics follow from, and what the gate compares.

    Attributes:
        score: What the primary metric is the mean of, shape (N,), float64.
        slice: The group an example belongs to, shape (N,), str. Every group is watched on its own.
        columns: Further columns worth keeping, each of shape (N,).
    """

    score: np.ndarray
    slice: np.ndarray
    columns: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.score)

    def take(self, rows: np.ndarray) -> Scores:
        """The examples of these places, of which some may come more than once."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        return Scores(self.score[rows], self.slice[rows], columns)


@dataclass(frozen=True)
class Sketch:
    """A picture on its way to be stylised.

    Attributes:
        step: How often its pixels were changed.
        losses: By name, "loss" being what is minimised.
        picture: (H, W, 3) uint8.
    """

    step: int
    losses: Mapping[str, float]
    picture: np.ndarray


def lazily(path: str) -> Callable[..., Any]:
    """The function `path` ("module:name"), imported when it is called.

    Keras takes seconds to import, and only training needs it: evaluation and promotion run the shipped ONNX model.
    """
    module, name = path.split(":")

    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*args, **kwargs)

    return call


@dataclass(frozen=True)
class Task:
    """A learning problem with its data, models and measures.

    Attributes:
        name: The folder's name; also that of the MLflow experiment and the registered model.
        summary: One sentence for people.
        models: The configuration of every model on offer, by name; the first is the default.
        load: Reads one split. Test data is read by `evaluate` alone.
        build: Makes the compiled, untrained Keras model of a configuration. It takes `Split.inputs` as they are,
            preprocessing is part of it.
        scores: (split, outputs) -> one row an example. Outputs are the served model's: for the presentation "labels"
            (N, labels) float32, for "picture" (N, H, W, 3) uint8.
        metrics: Scores -> values by name without the split, "loss" and the primary one among them.
        figures: (split, outputs) -> pictures by file name, for people to look at.
        model_figures: (model, split) -> pictures of the trained Keras model itself, if there are any.
        primary: The metric that decides.
        presentation: How items come from a person, and predictions go to one.
        limits: What its models are not made for, in whole sentences for people; it stands on their cards.
        latency_bound_ms: What the 95th percentile of a request with one item may take, over HTTP on the machine that
            promotes. A slower candidate is not promoted. Where that machine is busy, the time that a model that does
            nothing takes there is not counted.
        fit: Trains a compiled model, see `tasks.training.fit`, the default.
        studies: Questions about the models, by name.
        search: The space that `study=search` looks through; None where there is none.
        baseline: Split -> outputs of the slower method that the models replace, to be measured by; None where there is
            none.
        stylize: (content, style, steps, start, content_weight, style_weight, learning_rate, seed) -> steps + 1 sketches
            of the first picture in the style of the second, both (H, W, 3) uint8; None where pictures are not stylised.
    """

    name: str
    summary: str
    models: Mapping[str, Config]
    load: Callable[[SplitName], Split]
    build: Callable[[Any], keras.Model]
    scores: Callable[[Split, np.ndarray], Scores]
    metrics: Callable[[Scores], dict[str, float]]
    figures: Callable[[Split, np.ndarray], Figures]
    primary: Primary
    presentation: Presentation
    limits: str = ""
    latency_bound_ms: float = 100.0
    fit: Callable[..., None] = field(default=lazily("tasks.training:fit"))
    model_figures: Callable[[keras.Model, Split], Figures] | None = None
    studies: Mapping[str, Study] = field(default_factory=dict)
    search: Search | None = None
    baseline: Callable[[Split], np.ndarray] | None = None
    stylize: Callable[..., Iterator[Sketch]] | None = None

    @property
    def default_model(self) -> str:
        return next(iter(self.models))

    def configure(self, model: str = "default", overrides: Mapping[str, str] | None = None, **values: Any) -> Config:
        """The model's configuration with some fields replaced.

        Args:
            model: A key of `models`, or "default".
            overrides: Further fields as text, converted to the field's type.
            **values: Fields to replace; 0 and None keep the model's own.

        Raises:
            UserError: An unknown model or field, or a value that does not fit its field.
        """
        name = self.default_model if model == "default" else model
        if name not in self.models:
            raise UserError(unknown(f"model of {self.name}", name, self.models))
        config = self.models[name]
        changes = {key: value for key, value in values.items() if value}
        changes.update({key: _convert(config, key, text) for key, text in (overrides or {}).items()})
        return dataclasses.replace(config, **changes)


def _convert(config: Config, key: str, text: str) -> object:
    """`text` as the type of the field `key`."""
    types = typing.get_type_hints(type(config))
    types.pop("model")  # it has a parameter of its own
    if key not in types:
        raise UserError(unknown("override", key, types))
    if types[key] is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise UserError(f"override {key} must be true or false, received {text!r}.")
    try:
        return types[key](text)
    except ValueError:
        raise UserError(f"override {key} must be of type {types[key].__name__}, received {text!r}.") from None


def unknown(what: str, name: str, available: Sequence[str] | Mapping[str, Any]) -> str:
    """The message for a name that is not on the list, with the nearest one that is."""
    close = difflib.get_close_matches(name, list(available), n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"Unknown {what}: {name!r}.{hint} Available: {', '.join(available)}."


def task_names() -> list[str]:
    """The folders of `tasks/`, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(tasks.__path__) if module.ispkg)


def get_task(name: str) -> Task:
    """The task of that name. A task that is broken raises, it is never passed over.

    Raises:
        UserError: There is no such task.
    """
    if name not in task_names():
        raise UserError(unknown("task", name, task_names()))
    task = importlib.import_module(f"tasks.{name}").TASK
    if not isinstance(task, Task) or task.name != name:
        raise TypeError(f"tasks/{name}/__init__.py must define TASK, a Task named {name!r}; received {task!r}.")
    return task
