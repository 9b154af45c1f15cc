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
    """Reads which step it is, and has the parser of that step read the rest."""

    def read(self, argv: Sequence[str] | None = None) -> argparse.Namespace:
        words = list(sys.argv[1:] if argv is None else argv)
        if not words or words[0] in ("-h", "--help"):
            self.parse_args(words)
            raise UserError(f"Expected a step first: {', '.join(named_steps())}.")
        task_name, _, name = words[0].partition(".")
        task = get_task(task_name)
        step = own_steps.own_step(task, name)
        values = vars(parser_of(words[0], step).read(words[1:]))
        return argparse.Namespace(task=task, name=name, step=step(**values))


def parser_of(named: str, step: type[OwnStep]) -> cli.Parser:
    """An option for each field of the step."""
    program = f"python -m steps.own {named}"
    result = cli.Parser(program, description=step.summary, allow_abbrev=False, formatter_class=cli.Formatter)
    kinds = get_type_hints(step)
    for field in dataclasses.fields(step):  # type: ignore[arg-type]  # every step is a dataclass
        result.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=KINDS[kinds[field.name]],
            help=field.metadata["help"],
            **({"required": True} if field.default is dataclasses.MISSING else {"default": field.default}),
        )
    return result


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
