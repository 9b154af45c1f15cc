"""Watch what was served: is it still what the model was validated on, and still answered right?

Exit codes besides the usual: 3 watch, 4 retrain.
"""

from __future__ import annotations

import argparse

from lifecycle.watching import Span, traffic_folder, watch
from steps import cli
from tasks.contract import get_task


def run(arguments: argparse.Namespace) -> int:
    task = get_task(arguments.task)
    verdict = watch(task, traffic_folder(arguments.traffic), Span(arguments.hours, arguments.minutes))
    print(f"{task.name}: {verdict.level.word}")
    for reason in verdict.reasons:
        print(f"- {reason.sentence}" + (f" ({reason.when})" if reason.when else ""))
    return int(verdict.level)


def parser() -> cli.Parser:
    result = cli.parser(__doc__)
    result.add_argument("--traffic", default="", help="the servers' TRAFFIC_DIR; empty: that of this environment")
    result.add_argument("--hours", type=cli.number, default=24.0, help="how far to look back")
    result.add_argument("--minutes", type=cli.number, default=60.0, help="length of a window")
    return result


if __name__ == "__main__":
    cli.main(parser(), run)
