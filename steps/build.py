"""Build the container of a registered model: slim, or as `mlflow models build-docker` makes it."""

from __future__ import annotations

import argparse

from lifecycle.building import build
from steps import cli, next_steps
from tasks.contract import get_task


def run(arguments: argparse.Namespace) -> None:
    tagged = build(get_task(arguments.task), arguments.model_uri, arguments.variant, arguments.image)
    next_steps.show(
        ("run it", f"docker run --rm -p 5001:8080 -p 9464:9464 {tagged}"),
        ("read its card", "curl http://127.0.0.1:5001/card"),
    )


def parser() -> cli.Parser:
    result = cli.parser(__doc__)
    result.add_argument("--model-uri", default="champion", help="a registered version, or champion")
    result.add_argument("--variant", default="slim", help="slim, or mlflow: as `mlflow models build-docker` makes it")
    result.add_argument("--image", default="", help="name of the image (default: dlc-<task>)")
    return result


if __name__ == "__main__":
    cli.main(parser(), run)
