"""Tasks about the rows of a table in a file. A task's own folder says what is particular to it: file, target and
columns."""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forms.answers.labels import Labels
from forms.answers.number import Number
from forms.items.row import Row
from served.words import as_word
from tasks import classification, regression, splits
from tasks.contract import Config, Primary, Split, SplitName, Task, UserError, lazily, unknown

logger = logging.getLogger(__name__)

INTERVAL = 0.9  # the share of the right numbers that intervals are trained to hold
MOST_NAMED = 5  # words that a message names
LEARNING_RATES = {"dense": 3e-3, "linear": 2e-2}  # of the models: two hidden layers, or none


@dataclass(frozen=True)
class Column:
    """A column that the model looks at.

    Attributes:
        name: In the file.
        usual: What stands for a missing value, and what a person begins with: the median, or the most frequent word.
        choices: The words that stand in it; none where it has numbers. A word that is not among them counts as missing.
    """

    name: str
    usual: float | str
    choices: tuple[str, ...] = ()

    def values(self, column: pd.Series) -> np.ndarray:
        """Numbers (N,) float32; words become their places among the choices.

        Raises:
            UserError: It has words where numbers are expected.
        """
        if self.choices:
            places = {choice: float(place) for place, choice in enumerate(self.choices)}
            words = column.map(word)
            found = words.map(places)
            if unheard := sorted(set(words.dropna()) - set(self.choices)):
                logger.warning(
                    "%d rows have a %s that is not among its choices, such as %r. It counts as missing.",
                    words.isin(unheard).sum(),
                    self.name,
                    unheard[0],
                )
        else:
            found = _numbers(column)
        return found.astype(np.float64).fillna(self.place).to_numpy(np.float32)

    @property
    def place(self) -> float:
        """What is usual, as a number."""
        return float(self.choices.index(str(self.usual)) if self.choices else self.usual)


@dataclass(frozen=True)
class Table:
    """A table with a row an example.

    Attributes:
        file: CSV, or Parquet where it ends in .parquet.
        target: The column to be told from the others.
        columns: Those that it is told from.
        labels: The classes, in the order of the outputs; none where the target is a number.
        left_out: Words of the target whose rows are neither learnt from nor tested with.
        scale: Mean and spread of a target that is a number, in the training split.
        unit: Of a target that is a number.
        group: A column whose equal values, e.g. of one patient, stay in one split.
        time: A column by which rows are ordered: the latest are tested with.
        separator: Between the values of a row of CSV.
        decimal: Before the fraction of a number in CSV.
        seed: Of the split, where it is drawn by chance.
    """

    file: str
    target: str
    columns: tuple[Column, ...]
    labels: tuple[str, ...] = ()
    scale: tuple[float, float] = (0.0, 1.0)
    unit: str = ""
    group: str = ""
    time: str = ""
    separator: str = ","
    decimal: str = "."
    left_out: tuple[str, ...] = ()
    seed: int = 1

    def __post_init__(self) -> None:
        check_division(self.group, self.time)

    def load(self, name: SplitName) -> Split:
        """One split: inputs (N, columns) float32, and classes (N,) int32 or numbers (N,) float32.

        Raises:
            UserError: The file is not there, or is no such table.
        """
        frame = read(self.file, self.separator, self.decimal)
        for column in (self.target, *(one.name for one in self.columns), *filter(None, (self.group, self.time))):
            if column not in frame:
                raise UserError(unknown(f"column of {self.file}", column, frame.columns))
        frame = frame[self._has_target(frame[self.target])].reset_index(drop=True)
        targets = targets_of(frame[self.target], self.labels)
        rows = divided(frame, targets, self.group, self.time, self.labels, self.seed)[name]
        inputs = np.stack([column.values(frame[column.name]) for column in self.columns], axis=1)
        groups = groups_of(frame, self.group)[rows] if self.group else None
        return Split(inputs[rows], targets[rows], groups=groups)

    def _has_target(self, target: pd.Series) -> pd.Series:
        """Rows that can be learnt from or tested with.

        Raises:
            UserError: There is a class that nobody spoke of.
        """
        if not self.labels:
            return target.notna()
        words = target.map(word)
        if unheard := set(words.dropna()) - {*self.labels, *self.left_out}:
            shown = ", ".join(map(repr, sorted(unheard)[:MOST_NAMED])) + (", …" if len(unheard) > MOST_NAMED else "")
            raise UserError(
                f"{words.isin(unheard).sum()} rows of {self.file} have a {self.target} that is not among the task's "
                f"labels: {shown}. Add it to labels, or to left_out."
            )
        return words.isin(self.labels)

    @property
    def item(self) -> Row:
        """The form of its rows."""
        usual = tuple(column.place for column in self.columns)
        return Row(tuple(one.name for one in self.columns), usual, tuple(one.choices for one in self.columns), usual)


def task(name: str, table: Table, primary: Primary, summary: str = "", **more: Any) -> Task:
    """The task of telling a table's target from its columns.

    Args:
        name: The folder's name.
        table: What is learnt from.
        primary: The metric that decides: "accuracy" of classes, "mae" of numbers.
        summary: One sentence for people.
        **more: Further fields of the task, or other values for those that are set here.
    """
    if table.labels:
        measures = {
            "scores": partial(classification.scores, table.labels),
            "metrics": classification.metrics,
            "figures": partial(classification.figures, table.labels),
        }
    else:
        measures = {"scores": regression.scores, "metrics": regression.metrics, "figures": regression.figures}
    values: dict[str, Any] = measures | {
        "name": name,
        "summary": summary or f"Tell {table.target} from {len(table.columns)} columns of {Path(table.file).name}.",
        "models": {one: Config(one, 30, 32, rate) for one, rate in LEARNING_RATES.items()},
        "load": table.load,
        "build": functools.partial(lazily("tasks.tables_model:build"), table),
        "primary": primary,
        "item": table.item,
        "answer": Labels(table.labels) if table.labels else Number(table.unit, interval=INTERVAL),
    }
    return Task(**(values | more))


@functools.cache  # each split is a part of it
def read(file: str, separator: str = ",", decimal: str = ".") -> pd.DataFrame:
    """The whole table.

    Raises:
        UserError: It cannot be read.
    """
    try:
        if file.endswith(".parquet"):
            return pd.read_parquet(file)
        return pd.read_csv(file, sep=separator, decimal=decimal, skipinitialspace=True)
    except FileNotFoundError:
        raise UserError(f"There is no file {file}. A task's path to it stands in the task's folder.") from None
    except UnicodeDecodeError:
        raise UserError(f"{file} is not in UTF-8. Save it as CSV in UTF-8, or as Parquet.") from None
    except pd.errors.ParserError as error:
        said = str(error).strip().splitlines()[0].removeprefix("Error tokenizing data. C error: ")
        raise UserError(
            f"{file} cannot be read as values separated by {separator!r}: {said}. Are there commas in its numbers or "
            "words? Semicolons, tabs or bars separate values, too, where the names of the columns have no comma."
        ) from error
    except (OSError, ValueError) as error:  # pandas's errors are ValueErrors
        raise UserError(f"{file} cannot be read as a table: {str(error).strip().splitlines()[0]}") from error


def targets_of(column: pd.Series, labels: tuple[str, ...]) -> np.ndarray:
    """The places of the labels in a column (N,) int32, or where there are none, its numbers (N,) float32.

    Raises:
        UserError: It has words where numbers are expected.
    """
    if labels:
        places = {label: place for place, label in enumerate(labels)}
        return column.map(lambda value: places[word(value) or ""]).to_numpy(np.int32)
    return _numbers(column).to_numpy(np.float32)


def _numbers(column: pd.Series) -> pd.Series:
    """A column as numbers, missing where it is missing.

    Raises:
        UserError: It has words.
    """
    found = pd.to_numeric(column, errors="coerce")
    if (wrong := column[found.isna() & column.notna()]).size:
        raise UserError(f"Expected numbers in the column {column.name!r}, received {str(wrong.iloc[0])!r}.")
    return found


def word(value: Any) -> str | None:
    """A value as the word that it is asked about with; None where it is missing. A whole number is written as one,
    however pandas has read it."""
    return None if pd.isna(value) else str(as_word(value))


def check_division(group: str, time: str) -> None:
    """
    Raises:
        UserError: Rows are to stay together, and to be divided in time, which cannot both be.
    """
    if group and time:
        raise UserError(
            f"Say group={group} or time={time}, not both: rows of one {group} would be learnt from and tested with, "
            "as they were at other times."
        )


def divided(
    frame: pd.DataFrame, targets: np.ndarray, group: str, time: str, labels: tuple[str, ...], seed: int = 1
) -> splits.Rows:
    """The rows of each split, see Table."""
    if time:
        when = pd.to_datetime(frame[time]) if _is_text(frame[time]) else frame[time]
        return splits.in_time(when.to_numpy())
    if group:
        return splits.by_group(groups_of(frame, group), seed)
    return splits.stratified(np.asarray(labels)[targets], seed) if labels else splits.shuffled(len(frame), seed)


def groups_of(frame: pd.DataFrame, group: str) -> np.ndarray:
    """Which rows belong together, (N,): by the number, from 0, of what stands in that column."""
    return np.unique(frame[group].astype(str).to_numpy(), return_inverse=True)[1]


def _is_text(column: pd.Series) -> bool:
    return not pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_datetime64_any_dtype(column)
