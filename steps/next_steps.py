"""What a person may want to do after a step, told at its end."""

from __future__ import annotations

import shlex
from pathlib import Path

import mlflow

from lifecycle.store import database_file
from registry.card import how_to_serve
from tasks.contract import Task, how_to_run


def show(*suggestions: tuple[str, str], run_id: str = "") -> None:
    """Prints commands with what they are good for.

    Args:
        *suggestions: What for, and the command.
        run_id: A run whose page is worth a look.
    """
    lines = [*([("look at it", page(run_id))] if run_id else []), *suggestions]
    width = max(len(purpose) for purpose, _ in lines)
    print("\nNext:", *(f"  {purpose:<{width}}  {command}" for purpose, command in lines), sep="\n", flush=True)


def page(run_id: str) -> str:
    """Where a run's page is, and how to start what shows it."""
    run = mlflow.MlflowClient().get_run(run_id)
    path = f"#/experiments/{run.info.experiment_id}/runs/{run_id}"
    uri = mlflow.get_tracking_uri()
    if uri.startswith(("http://", "https://")):
        return f"{uri.rstrip('/')}/{path}"
    file = database_file(uri)
    is_default = file is not None and file.resolve() == Path("mlflow.db").resolve()
    store = "" if is_default else f" --backend-store-uri {shlex.quote(uri)}"
    return f"mlflow ui{store}   then http://127.0.0.1:5000/{path}"


def to_serve(task: Task) -> list[tuple[str, str]]:
    """What to do with a new champion."""
    return [
        ("serve it, for programs", how_to_serve(task)),
        ("serve it, for people", how_to_run("serve", task=task.name, port="5002")),
        ("build its container", how_to_run("build", task=task.name)),
        ("take it back", how_to_run("rollback", task=task.name)),
    ]
