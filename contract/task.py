"""What a task declares, and how it is found by its name."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import tasks
from contract.config import Config, converted
from contract.data import Scores, Split, SplitName
from contract.errors import UserError, unknown
from contract.own_steps import OwnStep
from contract.studies import Search, Study
from forms.answer import Answer
from forms.item import Item
from forms.outputs import Outputs

if TYPE_CHECKING:  # Keras and Matplotlib take seconds to import; only training and drawing need them.
    import keras
    from matplotlib.figure import Figure

Figures = Iterator[tuple[str, "Figure"]]


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
        scores: (split, outputs) -> one row an example. Outputs are the served model's, as the answer's form says: an
            array, or where there are several, a dictionary of them by name.
        metrics: Scores -> values by name without the split, "loss" and the primary one among them.
        figures: (split, outputs) -> pictures by file name, for people to look at.
        model_figures: (model, split) -> pictures of the trained Keras model itself, if there are any.
        primary: The metric that decides.
        item: What a model is asked about, and how a person's or a program's input becomes one.
        answer: What a model answers, and how it is told.
        limits: What its models are not made for, in whole sentences for people; it stands on their cards.
        latency_bound_ms: What the 95th percentile of a request with one item may take, over HTTP on the machine that
            promotes. A slower candidate is not promoted. Where that machine is busy, the time that a model that does
            nothing takes there is not counted.
        fit: Trains a compiled model, see `tasks.training.fit`, the default.
        studies: Questions about the models, by name.
        search: The space that `study=search` looks through; None where there is none.
        baseline: Split -> outputs of the slower method that the models replace, to be measured by; None where there is
            none.
        tiny: Fields of its configurations, with values that make a model small: for tests of whether it learns and
            ships.
        own_steps: Steps that this task alone has, by name.
    """

    name: str
    summary: str
    models: Mapping[str, Config]
    load: Callable[[SplitName], Split]
    build: Callable[[Any], keras.Model]
    scores: Callable[[Split, Outputs], Scores]
    metrics: Callable[[Scores], dict[str, float]]
    figures: Callable[[Split, Outputs], Figures]
    primary: Primary
    item: Item
    answer: Answer
    limits: str = ""
    latency_bound_ms: float = 100.0
    fit: Callable[..., None] = field(default=lazily("tasks.training:fit"))
    model_figures: Callable[[keras.Model, Split], Figures] | None = None
    studies: Mapping[str, Study] = field(default_factory=dict)
    search: Search | None = None
    baseline: Callable[[Split], Outputs] | None = None
    tiny: Mapping[str, Any] = field(default_factory=dict)
    own_steps: Mapping[str, type[OwnStep]] = field(default_factory=dict)

    @property
    def default_model(self) -> str:
        return next(iter(self.models))

    def shrunk(self, config: Config) -> Config:
        """The configuration with those of the `tiny` fields that it has."""
        own = {one.name for one in dataclasses.fields(config)}
        return dataclasses.replace(config, **{name: value for name, value in self.tiny.items() if name in own})

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
        changes.update({key: converted(config, key, text) for key, text in (overrides or {}).items()})
        return dataclasses.replace(config, **changes)


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
