"""Score a logged model on the test split, as it will be served. No other step reads test data."""

from __future__ import annotations

import argparse

from lifecycle.scoring import evaluate
from steps import cli, next_steps
from tasks.contract import get_task, how_to_run


def run(arguments: argparse.Namespace) -> None:
    task = get_task(arguments.task)
    evaluated = evaluate(task, arguments.model_uri, arguments.baseline)
    step = how_to_run("promote", task=task.name, model_uri=evaluated.uri)
    next_steps.show(("let it challenge the champion", step), run_id=evaluated.evaluation_run or "")


def parser() -> cli.Parser:
    result = cli.parser(__doc__)
    result.add_argument("--model-uri", default="latest", help="a model, or latest, or best (on the validation split)")
    result.add_argument("--baseline", type=cli.boolean, default="false", help="true: score the task's baseline too")
    return result


if __name__ == "__main__":
    cli.main(parser(), run)
