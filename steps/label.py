"""Tell what the right answers were: a CSV file with columns id and label, which `monitor` measures accuracy by."""

from __future__ import annotations

import argparse
from pathlib import Path

from lifecycle.watching import traffic_folder
from monitoring.labels import LabelError, add_labels
from steps import cli
from tasks.contract import UserError


def run(arguments: argparse.Namespace) -> None:
    folder = traffic_folder(arguments.traffic)
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}. Name the servers' TRAFFIC_DIR with traffic=<folder>.")
    try:
        number = add_labels(folder, Path(arguments.labels).expanduser())
    except LabelError as error:
        raise UserError(f"{error}.") from error
    print(f"Kept {number} labels.")


def parser() -> cli.Parser:
    result = cli.parser(__doc__)
    result.add_argument("--labels", required=True, help="a CSV file with the columns id and label")
    result.add_argument("--traffic", default="", help="the servers' TRAFFIC_DIR; empty: that of this environment")
    return result


if __name__ == "__main__":
    cli.main(parser(), run)
