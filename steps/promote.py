"""Put the best evaluated candidate into service, if it is fit for that: rehearsal, gate, alias."""

from __future__ import annotations

import argparse

from lifecycle.promotion import promote
from steps import cli, next_steps
from tasks.contract import get_task, how_to_run


def run(arguments: argparse.Namespace) -> None:
    task = get_task(arguments.task)
    if promote(task, arguments.model_uri):
        next_steps.show(*next_steps.to_serve(task))
    else:
        next_steps.show(
            ("train another", how_to_run("train", task=task.name)),
            ("name the candidate", how_to_run("promote", task=task.name, model_uri="<run id>")),
        )


def parser() -> cli.Parser:
    result = cli.parser(__doc__)
    result.add_argument("--model-uri", default="best", help="the candidate, or best (on the validation split)")
    return result


if __name__ == "__main__":
    cli.main(parser(), run)
