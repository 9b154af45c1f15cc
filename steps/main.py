"""Train, evaluate and promote, as children of one run."""

from __future__ import annotations

import argparse

import mlflow

from steps import cli, runs
from steps.evaluate import evaluate
from steps.promote import promote
from steps.train import train
from tasks.contract import Config, Task


def lifecycle(task: Task, config: Config) -> None:
    """Trains a model, scores it, and promotes the best evaluated candidate if the gate lets it pass."""
    client = runs.connect()
    name = f"main {config.model}, seed {config.seed}"
    note = f"Trains `{config.model}` of **{task.name}**, evaluates it and promotes the best candidate."
    with runs.step_run(client, task, "main", name, note):
        trained = train(task, config)
        evaluated = evaluate(task, trained.model_uri)
        promoted = promote(task, "best")
        names = [f"{split}_{task.primary.name}" for split in ("val", "test")]
        mlflow.log_metrics({name: evaluated.metrics[name] for name in names})
        values = ", ".join(f"{name} {evaluated.metrics[name]:.4f}" for name in names)
        outcome = "The champion changed." if promoted else "The champion stays."
        runs.describe(f"{note} {outcome}\n\n`{trained.model_uri}`: {values}.")


def run(arguments: argparse.Namespace) -> None:
    lifecycle(*cli.configured(arguments))


def parser() -> cli.Parser:
    result = cli.parser(__doc__)
    cli.add_training_arguments(result)
    return result


if __name__ == "__main__":
    cli.main(parser(), run)
