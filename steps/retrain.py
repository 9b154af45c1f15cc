"""Train the champion anew, on the data there is now, and offer it to the gate; with a record of traffic only where that
says so."""

from __future__ import annotations

import argparse

from lifecycle.retraining import retrain
from lifecycle.traffic import place_of
from lifecycle.watching import Span, watch
from monitoring.verdict import Level
from steps import cli, monitor
from tasks.contract import get_task


def run(arguments: argparse.Namespace) -> None:
    task = get_task(arguments.task)
    if arguments.traffic:
        span = Span(arguments.hours, arguments.minutes)
        verdict = watch(task, place_of(arguments.traffic), span)
        monitor.show(task, verdict)
        if verdict.level < Level.RETRAIN:
            return
    print("It is the new champion." if retrain(task) else "The champion stays.")


def parser() -> cli.Parser:
    result = cli.parser(__doc__)
    where = "the servers' TRAFFIC_DIR, a folder or an address, to watch first; empty: train in any case"
    monitor.add_arguments(result, where)
    return result


if __name__ == "__main__":
    cli.main(parser(), run)
