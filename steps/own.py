"""Run a step that one task alone has: the first word is `<task>.<step>`, e.g. `style.stylize`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from lifecycle import own_steps
from steps import cli
from tasks.contract import OwnStep, UserError, get_task, task_names

KINDS: dict[Any, Callable[[str], Any]] = {str: str, int: cli.whole_number, float: cli.number, Path: Path}


class Parser(cli.Parser):
    """Its options are the parameters of the step that the first word names."""

    def read(self, argv: Sequence[str] | None = None) -> argparse.Namespace:
        words = list(sys.argv[1:] if argv is None else argv)
        if not words or words[0] in ("-h", "--help"):
            self.parse_args(words)
            raise UserError(f"Expected a step first: {', '.join(named_steps())}.")
        task_name, _, name = words[0].partition(".")
        task = get_task(task_name)
        step = own_steps.own_step(task, name)
        self.description = step.summary
        add_parameters(self, step)
        values = vars(super().read(words[1:]))
        return argparse.Namespace(task=task, name=name, step=step(**values))


def add_parameters(target: argparse.ArgumentParser, step: type[OwnStep]) -> None:
    """An option for each field of the step."""
    kinds = get_type_hints(step)
    for field in dataclasses.fields(step):  # type: ignore[arg-type]  # every step is a dataclass
        target.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=KINDS[kinds[field.name]],
            help=field.metadata["help"],
            **({"required": True} if field.default is dataclasses.MISSING else {"default": field.default}),
        )


def named_steps() -> list[str]:
    return [f"{task}.{step}" for task in task_names() for step in get_task(task).own_steps]


def run(arguments: argparse.Namespace) -> None:
    own_steps.run(arguments.task, arguments.name, arguments.step)


def parser() -> Parser:
    return Parser(
        usage=f"python -m steps.own {{{','.join(named_steps())}}} [--help] [--<parameter> <value> ...]",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=cli.Formatter,
    )


if __name__ == "__main__":
    cli.main(parser(), run)
