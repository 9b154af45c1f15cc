"""How long the questions that steps ask the registry take when a task has many models.

    python -m benchmarks.registry_size [--models 2000 10000] [--rounds 5]

Fills a fresh SQLite store with so many models of `digits`, each with a run, 20 metrics and a registered version,
writing straight into MLflow's tables. Of all versions every hundredth was refused against the champion.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import mlflow
import sqlalchemy
from mlflow import MlflowClient
from mlflow.store.model_registry.dbmodels import models as registry_tables
from mlflow.store.tracking.dbmodels import models as tracking_tables

from lifecycle.contest import choose
from registry import candidates
from registry.ledger import ALIAS, Move, champion
from tasks.contract import Task, get_task

METRICS = ("val_accuracy", "val_loss", "model_number", *(f"test_{number}" for number in range(17)))
READY = 2  # a logged model's status as the table has it
CHAMPION = 5
Row = dict[str, Any]


def fill(task: Task, count: int) -> None:
    """Writes the models of 1 to `count`, the later the newer."""
    client = MlflowClient()
    experiment = int(client.create_experiment(task.name))
    client.create_registered_model(task.name)
    tables: list[tuple[Any, Callable[[int, int], Iterable[Row]]]] = [
        (tracking_tables.SqlRun, run),
        (tracking_tables.SqlLoggedModel, logged_model),
        (tracking_tables.SqlLoggedModelTag, tags_of(task)),
        (tracking_tables.SqlLoggedModelMetric, metrics),
        (registry_tables.SqlModelVersion, version_of(task)),
        (registry_tables.SqlModelVersionTag, version_tags_of(task)),
    ]
    engine = sqlalchemy.create_engine(mlflow.get_tracking_uri())
    with engine.begin() as store:
        for table, rows in tables:
            store.execute(sqlalchemy.insert(table), [row for n in range(1, count + 1) for row in rows(experiment, n)])
    engine.dispose()
    client.set_registered_model_alias(task.name, ALIAS, str(CHAMPION))


def run(experiment: int, number: int) -> Iterator[Row]:
    times = {"start_time": number, "end_time": number, "lifecycle_stage": "active", "status": "FINISHED"}
    yield {
        "run_uuid": run_id(number),
        "name": f"run {number}",
        "experiment_id": experiment,
        "artifact_uri": "none",
    } | times


def logged_model(experiment: int, number: int) -> Iterator[Row]:
    row = {"experiment_id": experiment, "name": "dense", "artifact_location": "none", "status": READY}
    times = {"creation_timestamp_ms": number, "last_updated_timestamp_ms": number, "lifecycle_stage": "active"}
    yield row | times | {"model_id": model_id(number), "source_run_id": run_id(number)}


def tags_of(task: Task) -> Callable[[int, int], Iterator[Row]]:
    def tags(experiment: int, number: int) -> Iterator[Row]:
        values = {candidates.TASK_TAG: task.name, candidates.EVALUATION_TAG: run_id(number)}
        for key, value in (values | {candidates.WEIGHTS_TAG: f"{number:064x}"}).items():
            yield {"model_id": model_id(number), "experiment_id": experiment, "tag_key": key, "tag_value": value}

    return tags


def metrics(experiment: int, number: int) -> Iterator[Row]:
    row = {"model_id": model_id(number), "experiment_id": experiment, "run_id": run_id(number)}
    for name in METRICS:
        value = number if name == "model_number" else number * 7919 % 100_003 / 100_003
        yield row | {"metric_name": name, "metric_timestamp_ms": number, "metric_step": 1, "metric_value": value}


def version_of(task: Task) -> Callable[[int, int], Iterator[Row]]:
    def version(_: int, number: int) -> Iterator[Row]:
        row = {"name": task.name, "version": number, "source": f"models:/{model_id(number)}", "status": "READY"}
        yield row | {"current_stage": "None", "creation_time": number, "last_updated_time": number}

    return version


def version_tags_of(task: Task) -> Callable[[int, int], Iterator[Row]]:
    def version_tags(_: int, number: int) -> Iterator[Row]:
        against = CHAMPION if number % 100 == 0 else 0
        for key, value in ((candidates.REFUSED_TAG, str(against)), (candidates.GATE_TAG, "Worse.")):
            yield {"name": task.name, "version": number, "key": key, "value": value}

    return version_tags


def run_id(number: int) -> str:
    return f"{number:032x}"


def model_id(number: int) -> str:
    return f"m-{number:032x}"


def questions(task: Task) -> dict[str, Callable[[], object]]:
    """What is asked, by name."""
    client = MlflowClient()
    moves = [Move(1, "promotion", None, str(CHAMPION), "")]
    return {
        "evaluate: latest": lambda: candidates.find(client, task, "latest"),
        "promote: best": lambda: choose(client, task, "best", moves),
        "version of a model": lambda: candidates.version_of(client, task, model_id(1)),
        "champion": lambda: champion(client, task.name),
    }


def measure(count: int, rounds: int) -> None:
    task = get_task("digits")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
        fill(task, count)
        for name, ask in questions(task).items():
            seconds = []
            for _ in range(rounds):
                started = time.perf_counter()
                ask()
                seconds.append(time.perf_counter() - started)
            median, low, high = statistics.median(seconds), min(seconds), max(seconds)
            print(f"{count} models, {name}: {median * 1000:.0f} ms ({low * 1000:.0f} to {high * 1000:.0f})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, nargs="+", default=[2_000, 10_000])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for count in arguments.models:
        measure(count, arguments.rounds)


if __name__ == "__main__":
    main()
