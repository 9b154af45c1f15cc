"""A fence around a process: of all installed packages it sees those that a model requires, and what they require.

An environment that trains models has more in it than one that serves them, e.g. TensorFlow. A model that needs what it
does not list works in the first and fails in the second; behind the fence it fails at once.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

VARIABLE = "DL_LIFECYCLE_FENCE"  # names of modules with commas between them, read by sitecustomize.py
FOLDER = Path(__file__).with_name("startup")


def fenced(model_path: Path) -> dict[str, str]:
    """The environment variables that put a Python process behind the fence of the model in `model_path`."""
    required = installed(model_path)
    hidden = [
        module
        for module, distributions in metadata.packages_distributions().items()
        if not any(canonicalize_name(name) in required for name in distributions)
    ]
    return {VARIABLE: ",".join(sorted(hidden)), "PYTHONPATH": str(FOLDER)}


def installed(model_path: Path) -> set[str]:
    """The canonical names of the installed distributions that the model in `model_path` requires, and those require."""
    return closure(requirements(model_path))


def requirements(model_path: Path) -> list[Requirement]:
    """What MLflow logged that the model in `model_path` requires."""
    lines = (model_path / "requirements.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def closure(requirements: list[Requirement]) -> set[str]:
    """The canonical names of what is required and of all that requires in turn, as far as it is installed."""
    found: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = list(requirements)
    while todo:
        requirement = todo.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            lines = metadata.requires(requirement.name) or []
        except metadata.PackageNotFoundError:
            continue
        found.add(name)
        todo += [further for further in map(Requirement, lines) if _applies(further, extras)]
    return found


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    """Whether it is required here by a distribution that is installed with these extras."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""})
