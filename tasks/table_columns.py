"""What the columns of a table are good for, found from the table itself: the beginning of a task about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from tasks.contract import UserError, unknown
from tasks.tables import Column, Table, divided, read, targets_of, word

MOST_LABELS = 20  # different whole numbers that count as classes
MOST_CHOICES = 30  # different words of a column that is looked at
LEAST_ROWS = 50
TELLING = 0.999  # the share of the target that one column alone explains, above which it gives the answer away
MOST_LOOKED_AT = 20_000  # rows, to find that out
SEPARATORS = (";", "\t", "|")


@dataclass(frozen=True)
class Findings:
    """A table, and what a person should hear of it.

    Attributes:
        table: What the task is to be made of.
        left_out: Why each column that is not looked at is not, by name.
        warnings: In whole sentences.
        baseline: What always saying the same gets on the training split: the share of the commonest class, or the mean
            absolute error of the median.
        examples: In the test split.
    """

    table: Table
    left_out: dict[str, str]
    warnings: list[str]
    baseline: float
    examples: int


def look_at(file: str, target: str, group: str = "", time: str = "", kind: str = "") -> Findings:
    """Reads the table, and decides.

    Args:
        file: CSV or Parquet.
        target: The column to be told from the others.
        group: A column whose equal values stay in one split, if any.
        time: A column by which the split is made, if any.
        kind: "classification" or "regression"; empty for what the target's values are.

    Raises:
        UserError: Nothing can be learnt from it; the message says why.
    """
    frame, separator = _frame(file)
    for column in filter(None, (target, group, time)):
        if column not in frame:
            raise UserError(unknown(f"column of {file}", column, frame.columns))
    complete = frame[frame[target].notna()].reset_index(drop=True)
    if len(complete) < LEAST_ROWS:
        raise UserError(f"{file} has {len(complete)} rows with a {target}; at least {LEAST_ROWS} are needed.")
    labels = _labels(complete[target], kind)
    targets = targets_of(complete[target], labels)
    rows = divided(complete, targets, group, time, labels)
    train = complete.iloc[rows["train"]]
    known = {target: "target", group: "it says what belongs together", time: "it says what is split where"}
    useless = {
        str(name): known.get(str(name)) or _useless(complete[name].dropna()) or _useless(train[name].dropna())
        for name in complete
    }
    left_out = {name: reason for name, reason in useless.items() if reason and name != target}
    columns = [_column(train[name].dropna()) for name, reason in useless.items() if not reason]
    if not columns:
        raise UserError(f"{file} has no column that {target} could be told from: {_listed(left_out)}.")
    learnt = targets[rows["train"]]
    scale = (0.0, 1.0) if labels else (_rounded(learnt.mean()), _rounded(learnt.std()))
    table = Table(file, target, tuple(columns), labels, scale, group=group, time=time, separator=separator)
    warnings = [f"Rows without a {target} are left out: {n}." for n in [len(frame) - len(complete)] if n]
    warnings += _giveaways(table, train, learnt)
    return Findings(table, left_out, warnings, _baseline(learnt, bool(labels)), len(rows["test"]))


def _frame(file: str) -> tuple[pd.DataFrame, str]:
    """The table, and what separates the values of a row."""
    frame = read(file)
    if frame.shape[1] > 1 or file.endswith(".parquet"):
        return frame, ","
    for separator in SEPARATORS:
        if separator in str(frame.columns[0]):
            return read(file, separator), separator
    raise UserError(
        f"{file} has one column, {str(frame.columns[0])[:60]!r}. Expected a header and values separated by commas, "
        "semicolons, tabs or bars."
    )


def _labels(target: pd.Series, kind: str) -> tuple[str, ...]:
    """The classes; none where the target is a number."""
    is_number = pd.api.types.is_numeric_dtype(target) and not pd.api.types.is_bool_dtype(target)
    values = target.unique()
    whole = is_number and bool((np.mod(values.astype(float), 1) == 0).all())
    if len(values) < 2:
        raise UserError(f"The column {target.name!r} is always {word(values[0])!r}: there is nothing to tell.")
    if kind == "regression" or (not kind and is_number and not (whole and len(values) <= MOST_LABELS)):
        return ()
    if len(values) > 1_000:
        raise UserError(f"The column {target.name!r} has {len(values)} different values, too many to be classes.")
    return tuple(word(value) or "" for value in sorted(values, key=lambda value: (str(type(value)), value)))


def _column(column: pd.Series) -> Column:
    """One to look at, as the training split has it."""
    name = str(column.name)
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return Column(name, _rounded(column.median()))
    words = column.map(word).value_counts()
    return Column(name, str(words.index[0]), tuple(sorted(map(str, words.index))))


def _useless(column: pd.Series) -> str:
    """Why nothing can be learnt from a column; empty where something may be."""
    different = column.nunique()
    if different == 0:
        return "it is empty"
    if different == 1:
        return f"it is always {word(column.iloc[0])}"
    is_text = not pd.api.types.is_numeric_dtype(column)
    if pd.api.types.is_datetime64_any_dtype(column) or (is_text and _are_dates(column)):
        return "it is a date: say time=<column> to test with the latest rows"
    if different == len(column) and (is_text or (pd.api.types.is_integer_dtype(column) and _counts(column))):
        return "every value is different, as of an id"
    if is_text and different > MOST_CHOICES:
        return f"it has {different} different words, more than {MOST_CHOICES}"
    return ""


def _counts(column: pd.Series) -> bool:
    """Whether whole numbers go up or down by one, as those of an id do."""
    return bool(column.max() - column.min() == len(column) - 1 or column.is_monotonic_increasing)


def _are_dates(column: pd.Series) -> bool:
    sample = column.head(100).astype(str)
    if not sample.str.contains(r"\d[-/.:]\d").all():
        return False
    return bool(pd.to_datetime(sample, errors="coerce", format="mixed").notna().all())


def _giveaways(table: Table, train: pd.DataFrame, targets: np.ndarray) -> list[str]:
    """Warns of columns that alone say what the target is."""
    some = np.random.default_rng(1).permutation(len(train))[:MOST_LOOKED_AT]
    tree = DecisionTreeClassifier if table.labels else DecisionTreeRegressor
    half = len(some) // 2
    found = []
    for column in table.columns:
        values = column.values(train[column.name])[some].reshape(-1, 1)
        fitted = tree(min_samples_leaf=5).fit(values[:half], targets[some][:half])
        if fitted.score(values[half:], targets[some][half:]) > TELLING:
            found.append(
                f"The column {column.name!r} alone says what {table.target} is. If it is not known before "
                f"{table.target} is, take it out."
            )
    return found


def _baseline(targets: np.ndarray, has_classes: bool) -> float:
    if has_classes:
        return float(np.bincount(targets).max() / len(targets))
    return float(np.abs(targets - np.median(targets)).mean())


def _rounded(value: float) -> float:
    """To six digits, which is what a person reads."""
    return float(f"{value:.6g}")


def _listed(left_out: dict[str, str]) -> str:
    return "; ".join(f"{name!r}: {reason}" for name, reason in left_out.items()) or "it has no other column"
