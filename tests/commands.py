"""Commands that people are told to type, held against the programs that will read them."""

from __future__ import annotations

import importlib
import re
import tomllib
from collections.abc import Mapping
from typing import Any

import click
import yaml
from mlflow.cli import cli as mlflow_cli

from lifecycle.building import VARIANTS
from lifecycle.comparing import ALL, DEFAULT, SEARCH
from lifecycle.own_steps import own_step
from steps import cli, own
from tasks.contract import UserError, get_task, task_names, unknown
from tests.documents import PLACEHOLDER, ROOT, Command

PROJECT = yaml.safe_load((ROOT / "MLproject").read_text())
# Of others, whose options are theirs to check.
TRUSTED = {".", ".venv\\Scripts\\activate", "base64", "cd", "curl", "docker", "echo", "export", "git", "jq"}
TRUSTED |= {"pre-commit", "touch", "tr"}


class WrongCommandError(Exception):
    """A command that does not do what whoever types it expects; the message says why."""


def parameters(step: str) -> dict[str, Any]:
    """The default of each parameter of an entry point, None where it has to be given."""
    return {name: spec.get("default") for name, spec in PROJECT["entry_points"][step].get("parameters", {}).items()}


def is_own(entry_point: str) -> bool:
    """Whether one task alone has it."""
    return any(entry_point in get_task(task).own_steps for task in task_names())


def parser_of(entry_point: str) -> cli.Parser:
    """Reads what MLproject's command has behind the module, and where that is a step of a task's own, its name."""
    for task in task_names():
        if step := get_task(task).own_steps.get(entry_point):
            return own.parser_of(f"{task}.{entry_point}", step)
    parser: cli.Parser = importlib.import_module(f"steps.{entry_point}").parser()
    return parser


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def check(command: Command, alone: bool = False) -> None:
    """Says what is wrong with a command.

    Args:
        command: Its words.
        alone: Whether it has to work by itself, without conda.

    Raises:
        WrongCommandError: The project or MLflow has nothing like it.
    """
    program, *words = command
    try:
        if program == "mlflow":
            _check_mlflow(words, alone)
        elif program == "python":
            _check_python(words)
        elif program == "make":
            _among("target of make", words[0] if words else "run", make_targets())
        elif program == "pip":
            _check_files([words[place + 1] for place, word in enumerate(words) if word == "-r"])
        else:
            _among("program", program, TRUSTED)
    except (UserError, click.ClickException) as error:
        raise WrongCommandError(f"{' '.join(command)}: {error}") from error


def _check_mlflow(words: list[str], alone: bool) -> None:
    """Against MLflow's own parsers. A bare name, as of `mlflow models serve`, only has to exist."""
    found: click.Command = mlflow_cli
    while isinstance(found, click.Group) and words:
        name, *words = words
        context = click.Context(found)
        command = found.get_command(context, name)  # knows other names too than those it lists, e.g. ui
        if command is None:
            raise UserError(unknown(f"command of mlflow {found.name}", name, found.list_commands(context)))
        found = command
    if not words:
        return
    values = found.make_context(found.name, list(words)).params
    if found is mlflow_cli.commands["run"]:
        if alone and not values["env_manager"]:
            raise UserError("Expected --env-manager: without it, conda is needed.")
        pairs = (pair.partition("=") for pair in values["param_list"])
        _check_entry_point(values["entry_point"], {name: value for name, _, value in pairs})


def _check_entry_point(name: str, values: Mapping[str, str]) -> None:
    if PLACEHOLDER in name:
        return
    _among("entry point", name, PROJECT["entry_points"])
    for parameter in values:
        _among(f"parameter of {name}", parameter, parameters(name))
    if name != "test":
        _check_step(name, {key.replace("_", "-"): value for key, value in values.items()})


def _check_step(name: str, options: Mapping[str, str]) -> None:
    """Against the parser of the step, then the names among the values against what there is."""
    parser = parser_of(name)
    if is_own(name):
        options = {key: value for key, value in options.items() if key != "task"}  # part of the step's name
    required = {action.dest for action in parser._actions if action.required}
    given = {key: value for key, value in options.items() if PLACEHOLDER not in value or key in required}
    arguments = parser.parse_args([f"--{key}={value}" for key, value in given.items()])
    _among(f"option of {name}", options.keys() - given.keys(), {key.replace("_", "-") for key in vars(arguments)})
    if not hasattr(arguments, "task") or arguments.task in written_tasks():
        return
    task = get_task(arguments.task)
    if hasattr(arguments, "overrides"):
        cli.configured(arguments)
    if "study" in options and PLACEHOLDER not in arguments.study:
        _among(f"study of {task.name}", arguments.study, {*task.studies, ALL, DEFAULT, SEARCH})
    if hasattr(arguments, "variant"):
        _among("variant", arguments.variant, VARIANTS)


def written_tasks() -> set[str]:
    """Tasks that the documentation has its reader write."""
    pages = (path.read_text() for path in (ROOT / "docs").glob("*.md"))
    written = re.compile(r"^(?:`tasks/(\w+)/__init__\.py`:$|mlflow run \. -e new .*-P name=(\w+))", re.MULTILINE)
    return {name for page in pages for names in written.findall(page) for name in names if name}


def _check_python(words: list[str]) -> None:
    if words[0] != "-m":
        _check_files([word for word in words[:1] if word != "-"])
        return
    _, module, *options = words
    room, _, name = module.partition(".")
    if module == "steps.own":
        named, *rest = options
        task, _, step = named.partition(".")
        parser = own.parser_of(named, own_step(get_task(task), step))
        if rest != ["--help"]:
            parser.read(rest)
    elif room == "steps" and name != PLACEHOLDER:
        _among("step", name, PROJECT["entry_points"])
        _check_step(name, _pairs(options))
    elif room == "benchmarks":
        _check_benchmark(name, options)
    elif room == "pytest":
        _check_pytest(options)
    elif room not in ("steps", "venv"):
        raise UserError(f"Expected a module of this project, received {module}.")


def _pairs(options: list[str]) -> dict[str, str]:
    """`--key value --key=value` as a dictionary."""
    words = [word for option in options for word in (option.split("=", 1) if option.startswith("--") else [option])]
    return {key.removeprefix("--"): value for key, value in zip(words[::2], words[1::2], strict=True)}


def _check_benchmark(name: str, options: list[str]) -> None:
    file = ROOT / "benchmarks" / name
    files = [path for path in (file.with_suffix(".py"), file / "__main__.py") if path.exists()]
    if not files:
        raise UserError(f"There is no benchmark {name}.")
    for option in options:
        if option.startswith("--") and f'"{option.split("=")[0]}"' not in files[0].read_text():
            raise UserError(f"{name} has no option {option}.")


def _check_pytest(options: list[str]) -> None:
    markers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    known = {marker.split(":")[0] for marker in markers}
    for before, word in zip(["", *options], options, strict=False):
        if before == "-m":
            for marker in set(re.findall(r"\w+", word)) - {"and", "or", "not"}:
                _among("marker", marker, known)
        elif word.startswith("tests/"):
            _check_files([word])


def _check_files(names: list[str]) -> None:
    for name in names:
        if not exists(name):
            raise UserError(f"There is no file {name}.")


def exists(path: str) -> bool:
    """Whether there is such a file, or the documentation has its reader write it."""
    written = any(path.startswith((f"tasks/{name}", f"tests/tasks/{name}")) for name in written_tasks())
    return written or (ROOT / path).exists()


def _among(what: str, names: str | set[str], available: Any) -> None:
    for name in [names] if isinstance(names, str) else names:
        if name not in available:
            raise UserError(unknown(what, name, sorted(available)))
