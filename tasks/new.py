"""Writes the folder of a new task: some lines about somebody's own data, which they read and own."""

from __future__ import annotations

import json
import keyword
import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks import smallest, splits
from tasks.contract import UserError, task_names
from tasks.pictures import Folder, is_picture, pictures_below
from tasks.table_columns import Findings, look_at
from tasks.tables import Column

ROOT = Path(__file__).parents[1]
NAME = re.compile(r"[a-z][a-z0-9_]*")
SHARE = 0.2  # of the way from the baseline to what is perfect, that a first model has to go


@dataclass(frozen=True)
class Written:
    """A new task.

    Attributes:
        files: Paths from the project's folder.
        remarks: What a person should know of it, in sentences.
    """

    files: list[str]
    remarks: list[str]


def new_smallest(name: str, root: Path = ROOT) -> Written:
    """A task to begin with where the data is neither a table nor folders of pictures: the smallest that there can be,
    with data that is made up.

    Raises:
        UserError: It cannot be made; the message says why. Nothing was written then.
    """
    check_name(name, root)
    code = Path(smallest.__file__).read_text(encoding="utf-8")
    code = code.replace("task smallest", f"task {name}").replace('"smallest"', f'"{name}"')
    start, stop = smallest.BOUNDS["test"]
    remark = "Its data is made up, so that it can be trained as it is: put your own into load."
    return Written(_write(_files(name, code, stop - start), root), [remark])


def new_table(
    name: str, data: str, target: str, group: str = "", time: str = "", kind: str = "", root: Path = ROOT
) -> Written:
    """A task about a table.

    Raises:
        UserError: It cannot be made; the message says why. Nothing was written then.
    """
    check_name(name, root)
    if not target:
        raise UserError("Say which column is to be told from the others: target=<column>.")
    file = Path(data).expanduser().resolve()
    found = look_at(str(file), target, group, time, kind)
    remarks = [f"{column!r} is left out: {reason}." for column, reason in found.left_out.items()]
    files = _files(name, table_task(name, found), found.examples)
    return Written(_write(files, root), [*_what(found), *remarks, *found.warnings])


def new_pictures(name: str, data: str, root: Path = ROOT) -> Written:
    """A task about pictures in folders, one a class.

    Raises:
        UserError: It cannot be made; the message says why. Nothing was written then.
    """
    check_name(name, root)
    folder = Path(data).expanduser().resolve()
    found = pictures_below(str(folder))
    broken = [file for _, file in found if not is_picture(file)]
    counts = Counter(label for label, _ in found) - Counter(file.parent.name for file in broken)
    labels = tuple(sorted(counts))
    if len(labels) < 2:
        raise UserError(
            f"Expected two folders or more in {folder}, one a class, with pictures in them; found "
            f"{', '.join(labels) or 'none'}."
        )
    classes = np.repeat(labels, [counts[label] for label in labels])
    rows = splits.stratified(classes)
    baseline = max(Counter(classes[rows["train"]]).values()) / len(rows["train"])
    left_out = tuple(file.relative_to(folder).as_posix() for file in broken)
    code = pictures_task(name, Folder(str(folder), labels, left_out), baseline, rows)
    files = _files(name, code, len(rows["test"]))
    remarks = [f"Pictures of each class: {', '.join(f'{label} {counts[label]}' for label in labels)}."]
    remarks += [f"{file} is left out: it cannot be read as a picture." for file in left_out]
    return Written(_write(files, root), remarks)


def pictures_task(name: str, folder: Folder, baseline: float, rows: splits.Rows) -> str:
    """The code of a task about pictures."""
    options = [f"path={quoted(folder.path)}", f"labels={tuple_of(folder.labels)}"]
    options += [f"left_out={tuple_of(folder.left_out)}"] if folder.left_out else []
    return _task(name, "tasks.pictures import Folder", "folder=Folder", options, _accuracy(baseline, len(rows["test"])))


def check_name(name: str, root: Path) -> None:
    """
    Raises:
        UserError: No task may be called that, or one is.
    """
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise UserError(f"Expected a name of small letters, digits and underscores, received {name!r}.")
    taken = [*task_names(), *(path.stem for path in (root / "tasks").glob("*"))]
    if name in taken:
        raise UserError(f"There is tasks/{name} already. Choose another name, or remove it and tests/tasks/{name}.")


def table_task(name: str, found: Findings) -> str:
    """The code of a task about a table."""
    table = found.table
    options = [f"file={quoted(table.file)}", f"target={quoted(table.target)}"]
    options.append("columns=(\n" + "".join(f"            {_column(one)},\n" for one in table.columns) + "        )")
    if table.labels:
        options.append(f"labels={tuple_of(table.labels)}")
    else:
        options.append(f"scale={table.scale!r}")
    options += [f"{key}={quoted(getattr(table, key))}" for key in ("group", "time") if getattr(table, key)]
    usual = {"separator": ",", "decimal": "."}
    options += [f"{key}={quoted(getattr(table, key))}" for key in usual if getattr(table, key) != usual[key]]
    limits = "".join(f"    limits={quoted(warning)},\n" for warning in found.warnings if "alone says" in warning)
    return _task(name, "tasks.tables import Column, Table", "table=Table", options, _primary(found) + limits)


def _task(name: str, imported: str, made: str, options: list[str], more: str) -> str:
    """The code of a task that shared code makes of what `made` is called with."""
    lines = "".join(f"        {option},\n" for option in options)
    return f'''"""The task {name}. The entry point `new` wrote it; it is yours to change."""

from tasks.contract import Primary
from {imported}, task

TASK = task(
    name="{name}",
    {made}(
{lines}    ),
{more})
'''


def _primary(found: Findings) -> str:
    """Which metric decides, and why its values are what they are."""
    if found.table.labels:
        return _accuracy(found.baseline, found.examples)
    floor, margin = (float(f"{share * found.baseline:.3g}") for share in (1 - SHARE, 0.1))
    values = f'name="mae", floor={floor}, margin={margin}, attainable=0.0, higher_is_better=False, share=False'
    return (
        f"    # Always to say the median is off by {found.baseline:.4g} on average: a model has to be better.\n"
        f"    primary=Primary({values}),\n"
    )


def _accuracy(baseline: float, examples: int) -> str:
    """Accuracy, with a floor above `baseline`, what always saying the same gets, and a margin that so many examples to
    test with can show."""
    floor = round(baseline + SHARE * (1 - baseline), 3)
    margin = max(0.01, round(1.96 * math.sqrt(0.05 / examples), 3))
    return (
        f"    # Always to say the commonest label is right in {baseline:.1%} of the cases: a model has to be better.\n"
        f"    # With {examples} examples to test with, a smaller margin could hardly be shown.\n"
        f'    primary=Primary(name="accuracy", floor={floor}, margin={margin}, attainable=1.0),\n'
    )


def _files(name: str, code: str, examples: int) -> dict[str, str]:
    """The files of a task with so many examples to test with."""
    test = f'''from tasks.contract import get_task


def test_the_splits_are_what_they_were() -> None:
    assert len(get_task("{name}").load("test")) == {examples}
'''
    folder = f"tests/tasks/{name}"
    return {f"tasks/{name}/__init__.py": code, f"{folder}/__init__.py": "", f"{folder}/test_data.py": test}


def _what(found: Findings) -> list[str]:
    table = found.table
    if table.labels:
        shown = ", ".join(table.labels[:8]) + (", …" if len(table.labels) > 8 else "")
        return [f"A classification: {table.target} is one of {shown}. (If it is a number, say kind=regression.)"]
    return [f"A regression: {table.target} is a number. (If its values are classes, say kind=classification.)"]


def _column(column: Column) -> str:
    usual = quoted(column.usual) if isinstance(column.usual, str) else repr(column.usual)
    return f"Column({quoted(column.name)}, {usual}{', ' + tuple_of(column.choices) if column.choices else ''})"


def tuple_of(words: tuple[str, ...]) -> str:
    """The code of a tuple of words."""
    return "(" + ", ".join(map(quoted, words)) + ("," if len(words) == 1 else "") + ")"


def quoted(text: str) -> str:
    """The code of a word, in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def _write(files: dict[str, str], root: Path) -> list[str]:
    """Writes all of them, or none."""
    made: list[Path] = []
    try:
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            made.append(path)
    except OSError as error:
        for path in made:
            path.unlink()
        raise UserError(f"{root / name} cannot be written: {error.strerror}.") from error
    return list(files)
