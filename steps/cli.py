"""The command-line edge of the steps: typed arguments, and every failure told in one line.

Exit codes: 0 done (a candidate that is not promoted included), 1 a broken model or a failed run of a study, 2 a user's
mistake, 130 interrupted.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from lifecycle.errors import StepError
from lifecycle.interruption import interruptible
from lifecycle.terminal import set_up_logging
from lifecycle.workplace import use_own_folder
from serving.rehearsal import RehearsalError
from tasks.contract import Config, Task, UserError, get_task, one_line, task_names, unknown

# TensorFlow and MLflow greet with a screenful; what a person should see is ours. Set before they are imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
LAUNCHED = "MLFLOW_RUN_ID"  # is set where `mlflow run` started the step


LIKEWISE = "With mlflow run: mlflow run . -e <entry point> -P task=mnist -P batch_size=64 (underscores for hyphens)"


class Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Adds its default to an option's help, unless that says it in words."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        has_none = action.required or action.default in ("", argparse.SUPPRESS)
        return action.help if has_none else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Raises where argparse would print its usage and leave, so that a run that is open hears of it too."""

    def format_help(self) -> str:
        """argparse's help, then the tasks with their models, and how `mlflow run` is told the same."""
        tasks = [f"  {name:<10}{', '.join(get_task(name).models)}" for name in task_names()]
        return "\n".join(
            [super().format_help(), "tasks, and their models with the default first:", *tasks, "", LIKEWISE, ""]
        )

    def error(self, message: str) -> NoReturn:
        raise UserError(message.replace("argument --", "--"))

    def read(self, argv: Sequence[str] | None = None) -> argparse.Namespace:
        """The arguments, of this process by default, all of which have to be known and given once.

        `mlflow run` passes a parameter that MLproject does not declare as a further option: `-P epoch=3` comes as
        `--epoch 3`, and `-P batch-size=64` as a second `--batch-size`, while MLflow logs a `batch_size` of 0 as well.

        Raises:
            UserError: One is unknown, given twice or has no fitting value.
        """
        words = sys.argv[1:] if argv is None else argv
        parsed, further = self.parse_known_args(words)
        options = [word.partition("=")[0] for word in words if word.startswith("--")]
        twice = [option for option in options if options.count(option) > 1]
        if twice and LAUNCHED not in os.environ:
            raise UserError(f"{twice[0]} is given {options.count(twice[0])} times, expected once.")
        if wrong := further or twice:
            known = [_spelt(action.option_strings[-1]) for action in self._actions if action.dest != "help"]
            name = wrong[0].partition("=")[0]
            raise UserError(unknown("parameter", name.removeprefix("--") if LAUNCHED in os.environ else name, known))
        return parsed


def _spelt(option: str) -> str:
    """An option as the user writes it: as it is, or after `-P`, where `mlflow run` started the step."""
    return option.removeprefix("--").replace("-", "_") if LAUNCHED in os.environ else option


def parser(description: str | None) -> Parser:
    result = Parser(description=description, allow_abbrev=False, formatter_class=Formatter)
    result.add_argument("--task", default="mnist", help="which task, by its name")
    return result


def add_training_arguments(target: Parser) -> None:
    """The parameters of `train` and `main`; 0, "default" or empty stand for the task's own."""
    own = "; 0: the model's own"
    target.add_argument("--model", default="default", help="one of the task's models, or default: its first")
    target.add_argument("--epochs", type=whole_number, default=0, help=f"passes over the training split{own}")
    target.add_argument("--batch-size", type=whole_number, default=0, help=f"examples per gradient step{own}")
    target.add_argument("--learning-rate", type=number, default=0.0, help=f"peak step size of the optimizer{own}")
    target.add_argument("--seed", type=whole_number, default=0, help=f"seed of weights, shuffling and dropout{own}")
    target.add_argument("--overrides", default="", help="further fields of the configuration: key=value,key=value")


def whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, received {text!r}") from None


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, received {text!r}") from None


def configured(arguments: argparse.Namespace) -> tuple[Task, Config]:
    """The task and the configuration that the arguments ask for."""
    task = get_task(arguments.task)
    values = {name: getattr(arguments, name) for name in ("epochs", "batch_size", "learning_rate", "seed")}
    return task, task.configure(arguments.model, overrides(arguments.overrides), **values)


def overrides(text: str) -> dict[str, str]:
    """ "a=1,b=2" as a dictionary."""
    pairs = [item.strip().partition("=") for item in text.split(",") if item.strip()]
    for key, equals, _ in pairs:
        if not equals:
            raise UserError(f"overrides must be key=value pairs with commas between them, received {key!r}.")
    return {key.strip(): value.strip() for key, _, value in pairs}


def boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"expected true or false, received {text!r}")
    return text.lower() == "true"


def main(target: Parser, run: Callable[[argparse.Namespace], Any], argv: Sequence[str] | None = None) -> NoReturn:
    """Parses, runs the step and leaves with its exit code, which is 0 where the step gives no other."""
    set_up_logging()
    code = 0
    try:
        with interruptible():
            use_own_folder()
            code = run(target.read(argv)) or 0
        gc.freeze()  # or Python would walk a million imported objects once more before it ends
    except UserError as error:
        _leave(error, 2)
    except StepError as error:
        _leave(error, 1)
    except RehearsalError as error:
        _leave(f"The candidate is broken: {error}.", 1)
    except KeyboardInterrupt:
        _leave("Interrupted.", 130)
    except Exception as error:
        from lifecycle.outside import explained  # MLflow, which it needs, takes seconds to import

        if reason := explained(error):
            _leave(reason, 2)
        raise  # a fault of ours
    sys.exit(code)


def _leave(reason: object, code: int) -> NoReturn:
    from lifecycle.runs import end_launched_run

    line = one_line(reason)
    print(f"error: {line}" if code != 130 else line, file=sys.stderr)
    end_launched_run(line)
    sys.exit(code)
