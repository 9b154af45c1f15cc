"""Log a Keras model that was trained elsewhere as a candidate, ready to be evaluated, promoted and served."""

from __future__ import annotations

import argparse
from pathlib import Path

from lifecycle.adopting import adopt
from steps import cli, next_steps
from tasks.contract import get_task, how_to_run


def run(arguments: argparse.Namespace) -> None:
    task = get_task(arguments.task)
    adopted = adopt(task, Path(arguments.model).expanduser())
    score = how_to_run("evaluate", task=task.name, model_uri=adopted.model_uri)
    next_steps.show(("score it on the test split", score), run_id=adopted.run_id)


def parser() -> cli.Parser:
    result = cli.parser(__doc__)
    result.add_argument("--model", required=True, help="a .keras file")
    return result


if __name__ == "__main__":
    cli.main(parser(), run)
