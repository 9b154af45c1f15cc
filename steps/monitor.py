"""Watch what was served: is it still what the model was validated on, and still answered right?

Exit codes besides the usual: 3 watch, 4 retrain.
"""

from __future__ import annotations

import argparse

from lifecycle.traffic import place_of
from lifecycle.watching import Span, watch
from monitoring.verdict import Verdict
from steps import cli
from tasks.contract import Task, get_task


def run(arguments: argparse.Namespace) -> int:
    task = get_task(arguments.task)
    verdict = watch(task, place_of(arguments.traffic), Span(arguments.hours, arguments.minutes))
    show(task, verdict)
    return int(verdict.level)


def show(task: Task, verdict: Verdict) -> None:
    print(f"{task.name}: {verdict.level.word}")
    for reason in verdict.reasons:
        print(f"- {reason.sentence}" + (f" ({reason.when})" if reason.when else ""))


def add_arguments(target: cli.Parser, traffic: str) -> None:
    """What is looked at; `traffic` says what an empty folder means."""
    target.add_argument("--traffic", default="", help=traffic)
    target.add_argument("--hours", type=cli.number, default=24.0, help="how far to look back")
    target.add_argument("--minutes", type=cli.number, default=60.0, help="length of a window")


def parser() -> cli.Parser:
    result = cli.parser(__doc__)
    add_arguments(result, "the servers' TRAFFIC_DIR, a folder or an address; empty: that of this environment")
    return result


if __name__ == "__main__":
    cli.main(parser(), run)
