"""MLproject, the steps, conda.yaml, requirements.txt, the linters and what a logged model needs: held together."""

from __future__ import annotations

import ast
import re
from importlib.metadata import version

import pytest
import yaml

from serving.package import REQUIREMENTS
from tasks.contract import get_task
from tests.commands import PROJECT, is_own, parameters, parser_of
from tests.conftest import ROOMS
from tests.documents import ROOT

# Of a file, and of a function: what can be read in a sitting, and on a screen.
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 350, 50
STEPS = [name for name in PROJECT["entry_points"] if name != "test"]


def pinned() -> dict[str, str]:
    """Versions by package, as requirements.txt pins them."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    requirements = [line for line in lines if line and not line.startswith("#")]
    found = [re.fullmatch(r"([a-z0-9-]+)==([0-9][0-9.]*)(; sys_platform != \"win32\")?", line) for line in requirements]
    return {pin[1]: pin[2] for pin in found if pin}


@pytest.mark.parametrize("step", STEPS)
def test_mlproject_passes_every_option_of_the_step(step: str) -> None:
    options = {action.dest: action for action in parser_of(step)._actions if action.dest != "help"}
    declared = parameters(step)
    module = f"steps.{step}"
    if is_own(step):
        task = declared.pop("task")
        assert step in get_task(task).own_steps
        module = f"steps.own {{task}}.{step}"
    assert options.keys() == declared.keys()
    command = PROJECT["entry_points"][step]["command"]
    assert command.startswith(f"python -m {module} ")
    for name, default in declared.items():
        assert f"--{name.replace('_', '-')} {{{name}}}" in command
        assert options[name].default == default


def test_the_command_lines_defaults_are_accepted() -> None:
    for step in STEPS:
        parser, declared = parser_of(step), parameters(step)
        if is_own(step):
            del declared["task"]
        given = {name: f"--{name.replace('_', '-')}={value}" for name, value in declared.items()}
        required = [word for name, word in given.items() if declared[name] is None]
        assert vars(parser.parse_args(list(given.values()))) == vars(parser.parse_args(required))


def test_conda_installs_the_one_list() -> None:
    conda = yaml.safe_load((ROOT / PROJECT["conda_env"]).read_text())
    assert conda["name"] == PROJECT["name"] == "dl-lifecycle"
    python, pip, listed = conda["dependencies"]
    assert re.fullmatch(r"python=3\.1[1-3]", python)
    assert pip == "pip"  # conda warns, and may hang, where a pip section has no pip beside it
    assert listed == {"pip": ["-r requirements.txt"]}


def test_this_environment_has_what_is_pinned() -> None:
    assert {name: version(name) for name in pinned()} == pinned()


def test_a_logged_model_needs_a_subset_of_the_same_versions() -> None:
    served = dict(line.partition(";")[0].split("==") for line in REQUIREMENTS)
    assert served.items() <= pinned().items()
    assert not {"tensorflow", "keras"} & served.keys()


def test_development_tools_build_on_the_same_list() -> None:
    assert "-r requirements.txt" in (ROOT / "requirements-dev.txt").read_text().splitlines()


def test_pre_commit_runs_what_make_lint_runs() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    (recipe,) = re.findall(r"^lint:.*\n\t\$\(ACTIVATE\) && (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [hook["entry"] for hook in repository["hooks"]] == recipe.split(" && ")


@pytest.mark.parametrize("folder", [*ROOMS, "benchmarks", "tests"])
def test_files_fit_a_sitting_and_functions_a_screen(folder: str) -> None:
    files = [path for ending in ("py", "js", "css", "html") for path in (ROOT / folder).rglob(f"*.{ending}")]
    for path in files:
        if "frozen" in path.parts:  # what was logged once stays as it is
            continue
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= MOST_LINES, path
        for node in ast.walk(ast.parse(text)) if path.suffix == ".py" else ():
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                assert lines <= MOST_LINES_OF_A_FUNCTION, f"{path}: {node.name}"
