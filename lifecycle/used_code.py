"""Which files of the project take part in a train run: what its task is made of, and what that imports."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

# What trains, and makes the logged model, for every task.
ENGINE = (
    "lifecycle/training.py",
    "lifecycle/callbacks.py",
    "serving/export.py",
    "serving/package.py",
    "serving/signature.py",
)
# Rooms into which imports are followed; of the others ENGINE has what matters.
FOLLOWED = ("tasks", "contract", "forms")
# What only declares or refuses: what of it reaches training stands in the configuration, and no refusal trains.
DECLARATIONS = ("studies.py", "errors.py")
LAZY = re.compile(r"(?P<module>\w+(\.\w+)+):\w+")  # as tasks.contract.lazily takes it


def used_code(task: str, forms: tuple[str, ...], root: Path) -> list[str]:
    """Paths from `root`, sorted.

    Args:
        task: Its name, all of whose folder counts.
        forms: Modules of the forms of its items and answers.
        root: The project's folder.
    """
    whole = (root / "served", root / "tasks" / task)  # what ships with the model, and what it is made of
    waiting = {root / name for name in ENGINE} | {file for folder in whole for file in folder.rglob("*.py")}
    waiting |= {file for name in forms for file in _files(name, root)}
    found: set[Path] = set()
    while waiting:
        file = waiting.pop()
        found.add(file)
        waiting |= _imported(file, root) - found
    return sorted(file.relative_to(root).as_posix() for file in found if file.name not in DECLARATIONS)


def _imported(file: Path, root: Path) -> set[Path]:
    names = (name for name in _names(ast.parse(file.read_text(encoding="utf-8"))) if name.split(".")[0] in FOLLOWED)
    return {found for name in names for found in _files(name, root)}


def _names(tree: ast.AST) -> Iterator[str]:
    """The dotted names that a module imports, anywhere in it, be it lazily."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and (lazy := LAZY.fullmatch(node.value)):
            yield lazy["module"]


def _files(name: str, root: Path) -> Iterator[Path]:
    """The file of a module, or of what is imported from it, and of the packages it is in."""
    path = root
    for part in name.split("."):
        path = path / part
        for file in (path / "__init__.py", path.with_name(f"{part}.py")):
            if file.exists():
                yield file
