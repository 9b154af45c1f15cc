"""Train, evaluate and promote, as children of one run."""

from __future__ import annotations

import argparse

import mlflow

from lifecycle import runs
from lifecycle.promotion import promote
from lifecycle.scoring import evaluate
from lifecycle.training import train
from registry.candidates import best_first
from registry.ledger import champion
from steps import cli, next_steps
from tasks.contract import Config, Task


def lifecycle(task: Task, config: Config) -> str:
    """Trains a model, scores it, and promotes the best evaluated candidate if the gate lets it pass.

    Returns:
        The id of the run.
    """
    client = runs.connect()
    name = f"main {config.model}, seed {config.seed}"
    note = f"Trains `{config.model}` of **{task.name}**, evaluates it and promotes the best candidate."
    with runs.step_run(client, task, "main", name, note) as run:
        trained = train(task, config)
        evaluated = evaluate(task, trained.model_uri)
        promoted = promote(task, "best")
        names = [f"{split}_{task.primary.name}" for split in ("val", "test")]
        mlflow.log_metrics({name: evaluated.metrics[name] for name in names})
        values = ", ".join(f"{name} {evaluated.metrics[name]:.4f}" for name in names)
        outcome = "The champion changed." if promoted else "The champion stays."
        best = next(best_first(client, task, evaluated=True))
        if best.uri != trained.model_uri:
            beaten = f"The model just trained is behind {best.name} ({best.uri}) on the validation split."
            outcome = f"{outcome} {beaten}"
            print(beaten)
        runs.describe(f"{note} {outcome}\n\n`{trained.model_uri}`: {values}.")
    run_id: str = run.info.run_id
    return run_id


def run(arguments: argparse.Namespace) -> None:
    task, config = cli.configured(arguments)
    run_id = lifecycle(task, config)
    suggestions = next_steps.to_serve(task) if champion(runs.connect(), task.name) else []
    next_steps.show(*suggestions, run_id=run_id)


def parser() -> cli.Parser:
    result = cli.parser(__doc__)
    cli.add_training_arguments(result)
    return result


if __name__ == "__main__":
    cli.main(parser(), run)
