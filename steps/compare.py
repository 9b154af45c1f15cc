"""Run a study: train every variant with several seeds, compare them, and say what can be said."""

from __future__ import annotations

import argparse

from lifecycle.comparing import DEFAULT, SEARCH, Options, compare
from steps import cli, next_steps
from tasks.contract import get_task


def run(arguments: argparse.Namespace) -> None:
    options = Options(arguments.repeats, arguments.force, arguments.jobs, arguments.trials)
    task = get_task(arguments.task)
    compare(task, arguments.study, options)
    if arguments.study != SEARCH:  # which has said what to do with its best trial
        where = f"mlflow ui, experiment {task.name}, the study's run, artifact report.html"
        next_steps.show(("read the report", where))


def parser() -> cli.Parser:
    result = cli.parser(__doc__)
    result.add_argument(
        "--study", default=DEFAULT, help='one of the task\'s studies, "all" or "search"; default: its first'
    )
    result.add_argument("--repeats", type=cli.whole_number, default=3, help="seeds that each variant is trained with")
    result.add_argument("--force", type=cli.boolean, default="false", help="true: train again what was trained before")
    result.add_argument("--jobs", type=cli.whole_number, default=0, help="runs at once; 0: what suits the machine")
    result.add_argument(
        "--trials",
        type=cli.whole_number,
        default=20,
        help="trials of a search, over all its processes",
    )
    return result


if __name__ == "__main__":
    cli.main(parser(), run)
