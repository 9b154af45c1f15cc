"""Put the champion before the present one back into service."""

from __future__ import annotations

import argparse

from lifecycle.rollback import rollback
from steps import cli, next_steps
from tasks.contract import get_task


def run(arguments: argparse.Namespace) -> None:
    task = get_task(arguments.task)
    rollback(task)
    next_steps.show(("see what was before", f"mlflow ui: experiment {task.name}, run ledger"))


def parser() -> cli.Parser:
    return cli.parser(__doc__)


if __name__ == "__main__":
    cli.main(parser(), run)
