"""Train the champion anew, on the data there is now, and offer it to the gate; with a record of traffic only where that
says so."""

from __future__ import annotations

import argparse

from lifecycle.retraining import retrain
from lifecycle.watching import Span, traffic_folder, watch
from monitoring.verdict import Level
from steps import cli, monitor
from tasks.contract import get_task


def run(arguments: argparse.Namespace) -> None:
    task = get_task(arguments.task)
    if arguments.traffic:
        span = Span(arguments.hours, arguments.minutes)
        verdict = watch(task, traffic_folder(arguments.traffic), span)
        monitor.show(task, verdict)
        if verdict.level < Level.RETRAIN:
            return
    print("It is the new champion." if retrain(task) else "The champion stays.")


def parser() -> cli.Parser:
    result = cli.parser(__doc__)
    monitor.add_arguments(result, "the servers' TRAFFIC_DIR, to watch first; empty: train in any case")
    return result


if __name__ == "__main__":
    cli.main(parser(), run)
