"""Tell what the right answers were: a CSV file with columns id and label, which `monitor` measures accuracy by."""

from __future__ import annotations

import argparse
from pathlib import Path

from lifecycle.traffic import keep_labels, place_of
from monitoring.labels import LabelError
from steps import cli
from tasks.contract import UserError


def run(arguments: argparse.Namespace) -> None:
    try:
        number = keep_labels(place_of(arguments.traffic), Path(arguments.labels).expanduser())
    except LabelError as error:
        raise UserError(f"{error}.") from error
    print(f"Kept {number} label{'s' * (number > 1)}.")


def parser() -> cli.Parser:
    result = cli.parser(__doc__)
    result.add_argument("--labels", required=True, help="a CSV file with the columns id and label")
    where = "the servers' TRAFFIC_DIR, a folder or an address; empty: that of this environment"
    result.add_argument("--traffic", default="", help=where)
    return result


if __name__ == "__main__":
    cli.main(parser(), run)
