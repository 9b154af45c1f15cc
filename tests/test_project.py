"""MLproject, the steps, the README, conda.yaml, requirements.txt and what a logged model needs: held together."""

from __future__ import annotations

import importlib
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.package import REQUIREMENTS

ROOT = Path(__file__).resolve().parent.parent
PROJECT = yaml.safe_load((ROOT / "MLproject").read_text())
README = (ROOT / "README.md").read_text()
STEPS = [name for name in PROJECT["entry_points"] if name != "test"]


def parameters(step: str) -> dict[str, Any]:
    """The default of each, None where it has to be given."""
    return {name: spec.get("default") for name, spec in PROJECT["entry_points"][step].get("parameters", {}).items()}


def pinned() -> dict[str, str]:
    """Versions by package, as requirements.txt pins them."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    requirements = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9.]*", line) for line in requirements)
    return dict(line.split("==") for line in requirements)


@pytest.mark.parametrize("step", STEPS)
def test_mlproject_passes_every_option_of_the_step(step: str) -> None:
    parser = importlib.import_module(f"steps.{step}").parser()
    options = {action.dest: action for action in parser._actions if action.dest != "help"}
    assert options.keys() == parameters(step).keys()
    command = PROJECT["entry_points"][step]["command"]
    assert command.startswith(f"python -m steps.{step} ")
    for name, default in parameters(step).items():
        assert f"--{name.replace('_', '-')} {{{name}}}" in command
        assert options[name].default == default


def test_the_command_lines_defaults_are_accepted() -> None:
    for step in STEPS:
        parser = importlib.import_module(f"steps.{step}").parser()
        given = {name: f"--{name.replace('_', '-')}={value}" for name, value in parameters(step).items()}
        required = [word for name, word in given.items() if parameters(step)[name] is None]
        assert vars(parser.parse_args(list(given.values()))) == vars(parser.parse_args(required))


@pytest.mark.parametrize("step", PROJECT["entry_points"])
def test_the_readme_lists_every_entry_point_with_its_defaults(step: str) -> None:
    (row,) = [line for line in README.splitlines() if line.startswith(f"| `{step}` |")]
    listed = dict(re.findall(r"`(\w+)=([^`]*)`", row.split("|")[3]))
    defaults = parameters(step).items()
    assert listed == {name: "<file>" if value is None else str(value) or '""' for name, value in defaults}


def test_the_readmes_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"run", "test"} <= set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE)) <= targets


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
    served = dict(line.split("==") for line in REQUIREMENTS)
    assert served.items() <= pinned().items()
    assert not {"tensorflow", "keras"} & served.keys()


def test_development_tools_build_on_the_same_list() -> None:
    assert "-r requirements.txt" in (ROOT / "requirements-dev.txt").read_text().splitlines()
