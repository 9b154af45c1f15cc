"""Score a logged model on the test split, as it will be served. No other step reads test data."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PyFuncModel
from rich.console import Console
from rich.table import Table

from forms.outputs import Outputs
from lifecycle import runs
from lifecycle.model_files import fetch
from lifecycle.training import log_data
from registry.candidates import (
    EVALUATION_TAG,
    PREDICTIONS_DIGEST_PARAM,
    PREDICTIONS_FILE,
    Candidate,
    file_digest,
    find,
)
from registry.card import describe, worst_slices
from serving.rehearsal import RehearsalError
from tasks.contract import Scores, Split, Task, UserError, answered, batches, one_line

BATCH_SIZE, MOST_VALUES = 256, 2**20  # examples a request, and input values, so that large pictures are few
RESAMPLES = 1_000
LATENCY_REPEATS = 100


@dataclass(frozen=True)
class Interval:
    """A metric's value with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def evaluate(task: Task, model_uri: str, baseline: bool = False) -> Candidate:
    """Scores one model and gives it back as a candidate with its evaluation.

    Args:
        task: Whose model it is.
        model_uri: What to score, see `registry.candidates.find`.
        baseline: Whether to score the task's baseline too, which may take long.

    Raises:
        UserError: There is no such model, or no baseline.
        RehearsalError: Its files are not those that were logged, it does not load, or it does not answer.
    """
    if baseline and task.baseline is None:
        raise UserError(f"{task.name} has no baseline to score. Leave out baseline=true.")
    client = runs.connect()
    candidate = find(client, task, model_uri)
    name = f"evaluate {candidate.name}"
    note = f"Scores `{candidate.uri}`, a model of **{task.name}**, on the test split."
    with runs.step_run(client, task, "evaluate", name, note) as run, tempfile.TemporaryDirectory() as folder:
        mlflow.log_params({"evaluated.model_uri": candidate.uri, "evaluated.run_id": candidate.run_id})
        model = load(fetch(client, candidate.model_id, folder, keep=True).path, candidate.uri)
        test = task.load("test")
        log_data(task, test=test)
        outputs = predict(model, test.inputs)
        scores = scored(task, test, outputs)
        intervals = bootstrap(task.metrics, scores)
        latency = latencies(model, test.inputs)
        log_metrics(candidate, intervals, latency)
        log_predictions(scores)
        for file, figure in task.figures(test, outputs):
            mlflow.log_figure(figure, f"figures/{file}")
        worst = worst_slices(task, scores)
        runs.describe(_summary(task, candidate, intervals, worst))
        client.set_logged_model_tags(candidate.model_id, {EVALUATION_TAG: run.info.run_id})
        _print_table(task, candidate, intervals, latency, worst)
        if baseline:
            score_baseline(task, test)
        evaluated = find(client, task, candidate.uri)
        describe(client, task, evaluated)
    return evaluated


def load(path: Path, uri: str) -> PyFuncModel:
    """The model in the folder `path`, which people know by `uri`, as it is served.

    Raises:
        RehearsalError: It does not load.
    """
    try:
        return mlflow.pyfunc.load_model(str(path))
    except Exception as error:  # its own code runs here
        raise RehearsalError(f"{uri} does not load: {error}") from error


def predict(model: PyFuncModel, inputs: Any) -> Outputs:
    """The served model's outputs for all inputs, batch by batch; by name where there are several.

    Raises:
        RehearsalError: It does not answer.
    """
    try:
        return answered(inputs, lambda batch: model.predict(list(batch)), batch_size(inputs))
    except Exception as error:  # its own code runs here, too
        raise RehearsalError(f"it does not answer the test split: {one_line(error)}") from error


def batch_size(inputs: Any) -> int:
    """How many of these inputs make a request."""
    return max(1, min(BATCH_SIZE, len(inputs), MOST_VALUES // inputs[0].size))


def scored(task: Task, split: Split, outputs: Outputs) -> Scores:
    """The task's scores, with the split's groups."""
    return dataclasses.replace(task.scores(split, outputs), groups=split.groups)


def bootstrap(metrics: Callable[[Scores], dict[str, float]], scores: Scores) -> dict[str, Interval]:
    """Every metric with its 95 % percentile interval over resampled examples (Efron & Tibshirani 1993, chapter 13);
    where they have groups, over resampled groups.

    The resampling is seeded: the same scores get the same intervals.
    """
    resampled = pd.DataFrame([metrics(scores.take(rows)) for rows in _drawings(scores)])
    low, high = resampled.quantile(0.025), resampled.quantile(0.975)
    return {name: Interval(value, low[name], high[name]) for name, value in metrics(scores).items()}


def _drawings(scores: Scores) -> Iterator[np.ndarray]:
    """Places of examples that are drawn with replacement; of groups, those of all that are in the groups drawn."""
    generator = np.random.default_rng(0)
    if scores.groups is None:
        for _ in range(RESAMPLES):
            yield generator.integers(len(scores), size=len(scores))
        return
    members = [np.flatnonzero(scores.groups == group) for group in np.unique(scores.groups)]
    for _ in range(RESAMPLES):
        yield np.concatenate([members[drawn] for drawn in generator.integers(len(members), size=len(members))])


def score_baseline(task: Task, test: Split) -> None:
    """Logs metrics and figures of the task's baseline on the run, called `test_baseline_<metric>`."""
    assert task.baseline
    print(f"Scoring the baseline on {len(test)} examples, which may take long.", flush=True)
    outputs = task.baseline(test)
    for file, figure in task.figures(test, outputs):
        mlflow.log_figure(figure, f"figures/baseline_{file}")
    intervals = bootstrap(task.metrics, scored(task, test, outputs))
    mlflow.log_metrics(named(intervals, "baseline_"))
    for name, interval in intervals.items():
        print(f"baseline {name}: {interval.value:.4f} ({interval.low:.4f} to {interval.high:.4f})")


def latencies(model: PyFuncModel, inputs: Any) -> dict[str, float]:
    """Median and 95th percentile in milliseconds of `predict` in this process, for one item and for a batch."""
    result = {}
    most = batch_size(inputs)
    for name, size, repeats in (("item", 1, LATENCY_REPEATS), (f"batch_{most}", most, LATENCY_REPEATS // 10)):
        items = list(inputs[batches(inputs, size)[0]])
        model.predict(items)  # the first call is not like the others
        times = []
        for _ in range(repeats):
            started = time.perf_counter()
            model.predict(items)
            times.append(1000 * (time.perf_counter() - started))
        result[f"latency_{name}_ms"] = statistics.median(times)
        result[f"latency_{name}_p95_ms"] = float(np.quantile(times, 0.95))
    return result


def log_metrics(candidate: Candidate, intervals: dict[str, Interval], latency: dict[str, float]) -> None:
    """Logs `test_<metric>` with `_low` and `_high`, on the run and on the logged model."""
    mlflow.log_metrics(latency | named(intervals), model_id=candidate.model_id)


def named(intervals: dict[str, Interval], prefix: str = "") -> dict[str, float]:
    """`test_<prefix><metric>`, with `_low` and `_high`."""
    values: dict[str, float] = {}
    for name, interval in intervals.items():
        key = f"test_{prefix}{name}"
        values |= {key: interval.value, f"{key}_low": interval.low, f"{key}_high": interval.high}
    return values


def log_predictions(scores: Scores) -> None:
    """Logs one row an example, which is what the gate compares models by."""
    groups = {} if scores.groups is None else {"group": scores.groups}
    table = pd.DataFrame({"score": scores.score, "slice": scores.slice, **groups, **scores.columns})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / PREDICTIONS_FILE
        table.to_parquet(path)
        mlflow.log_artifact(str(path))
        mlflow.log_param(PREDICTIONS_DIGEST_PARAM, file_digest(path))


def _summary(task: Task, candidate: Candidate, intervals: dict[str, Interval], worst: Mapping[str, float]) -> str:
    primary = intervals[task.primary.name]
    slices = ", ".join(f"{name} {score:.4f}" for name, score in worst.items())
    return (
        f"`{candidate.uri}` ({candidate.name}) of **{task.name}** on the test split: **test_{task.primary.name} "
        f"{primary.value:.4f}** (95 % interval {primary.low:.4f} to {primary.high:.4f}). Worst slices: {slices}."
    )


def _print_table(
    task: Task,
    candidate: Candidate,
    intervals: dict[str, Interval],
    latency: dict[str, float],
    worst: Mapping[str, float],
) -> None:
    console = Console()
    console.print(f"\n{task.name} · {candidate.name} · {candidate.uri}")
    table = Table()
    for column in ("test metric", "value", "95 % interval"):
        table.add_column(column, justify="left" if column == "test metric" else "right")
    for name, interval in intervals.items():
        table.add_row(name, f"{interval.value:.4f}", f"{interval.low:.4f} to {interval.high:.4f}")
    for name, value in latency.items():
        table.add_row(name, f"{value:.3f}", "")
    for name, score in worst.items():
        table.add_row(f"{task.primary.name} of slice {name}", f"{score:.4f}", "")
    console.print(table)
