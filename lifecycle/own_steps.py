"""Run a step that one task alone has."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

import mlflow
import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lifecycle import runs
from lifecycle.terminal import import_keras
from tasks.contract import OwnStep, Task, UserError, get_task, task_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")
TOLD = 10  # times, where nobody watches a bar


def own_step(task: Task, name: str) -> type[OwnStep]:
    """The step of that name.

    Raises:
        UserError: The task has none of that name; the message says whose there are.
    """
    if name in task.own_steps:
        return task.own_steps[name]
    others = [f"task={other}" for other in task_names() if name in get_task(other).own_steps]
    hint = f" Expected e.g. {others[0]}." if others else ""
    raise UserError(f"{task.name} has no step {name!r}.{hint}")


def run(task: Task, name: str, step: OwnStep) -> None:
    """Does what the step does, as a run of the task's experiment.

    Raises:
        UserError: It cannot be done with these parameters.
    """
    prepared = step.prepare()
    client = runs.connect()
    with runs.step_run(client, task, name, step.title, step.note, log_system_metrics=True):
        values = {field.name: getattr(step, field.name) for field in dataclasses.fields(step)}  # type: ignore[arg-type]
        mlflow.log_params({f"config.{key}": value for key, value in values.items()})
        runs.log_code_and_environment()
        import_keras()
        result = step.run(prepared, RunJournal())
        runs.describe(f"{step.note}\n\n{result}.")
        print(result)
        print(f"What was kept: {mlflow.get_artifact_uri()}")


class RunJournal:
    """Keeps what a step finds in the active run; see contract.own_steps.Journal."""

    def __init__(self) -> None:
        self._loss = ""

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        mlflow.log_metrics(dict(values), step=step)
        if "loss" in values:
            self._loss = f": loss {values['loss']:.4f}"

    def log_picture(self, name: str, pixels: np.ndarray, step: int | None = None) -> None:
        if step is None:
            mlflow.log_image(pixels, name)
        else:
            mlflow.log_image(pixels, key=name, step=step)

    def log_figure(self, name: str, figure: Figure) -> None:
        mlflow.log_figure(figure, name)

    def watched(self, work: Iterable[T], total: int, unit: str) -> Iterator[T]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        every = max(1, total // TOLD)
        with Progress(*columns) as progress:
            bar = progress.add_task(unit, total=total)
            for done, result in enumerate(work, start=1):
                yield result
                progress.update(bar, completed=done, description=f"{unit}{self._loss}")
                if not progress.console.is_terminal and (done % every == 0 or done == total):
                    print(f"{unit} {done}/{total}{self._loss}", flush=True)
