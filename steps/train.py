"""Train one model of a task and log it, ready to be evaluated, promoted and served."""

from __future__ import annotations

import argparse

from lifecycle import runs
from lifecycle.resuming import find_interrupted
from lifecycle.training import train
from steps import cli, next_steps
from tasks.contract import UserError, get_task, how_to_run


def run(arguments: argparse.Namespace) -> None:
    if arguments.resume:
        others = [
            name
            for name, value in vars(parser().parse_args([])).items()
            if name not in ("task", "resume") and getattr(arguments, name) != value
        ]
        if others:
            raise UserError(f"A resumed run brings its own configuration; leave out {', '.join(others)}.")
        task = get_task(arguments.task)
        interrupted = find_interrupted(runs.connect(), task, arguments.resume)
        trained = train(task, interrupted.config, interrupted)
    else:
        task, config = cli.configured(arguments)
        trained = train(task, config)
    score = how_to_run("evaluate", task=task.name, model_uri=trained.model_uri)
    next_steps.show(("score it on the test split", score), run_id=trained.run_id)


def parser() -> cli.Parser:
    result = cli.parser(__doc__)
    cli.add_training_arguments(result)
    result.add_argument("--resume", default="", help="id of a train run to continue; it brings its own configuration")
    return result


if __name__ == "__main__":
    cli.main(parser(), run)
