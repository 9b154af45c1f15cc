"""What the columns of a table are good for, found from the table itself: the beginning of a task about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from tasks.contract import UserError, unknown
from tasks.tables import Column, Table, check_division, divided, read, targets_of, word

MOST_LABELS = 20  # different whole numbers that count as classes
MOST_CHOICES = 30  # different words of a column that is looked at
LEAST_ROWS = 50
TELLING = 0.999  # the share of the target that one column alone explains, above which it gives the answer away
MOST_LOOKED_AT = 20_000  # rows, to find that out
SEPARATORS = (";", "\t", "|")
LOOKED_AT = 1_000  # rows of which it is enough to see a few
DECIMAL_COMMA = re.compile(r"[-+]?\d+(,\d+)?")
LEADING_ZERO = re.compile(r"0\d+")
NUMBER = re.compile(r"[€$£¥]?\s?[-+]?\d[\d.,' ]*(\s?[€$£¥%]|\s[^\d\s]+)?")  # maybe with a unit
ENDINGS = (".csv", ".tsv", ".txt", ".parquet")
MISSING = "Rows without a {target} are left out: {count}. (Empty, or NA, None, null or NaN.)"
CODE = "Values of {name!r} begin with 0, as those of a code do, and are taken for numbers. Take it out if it is one."


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
    check_division(group, time)
    frame, separator, decimal = _frame(file)
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
    table = Table(
        file, target, tuple(columns), labels, scale, group=group, time=time, separator=separator, decimal=decimal
    )
    codes = _codes(file, separator)
    warnings = [MISSING.format(target=target, count=n) for n in [len(frame) - len(complete)] if n]
    warnings += [CODE.format(name=column.name) for column in columns if column.name in codes]
    warnings += _giveaways(table, train, learnt)
    return Findings(table, left_out, warnings, _baseline(learnt, bool(labels)), len(rows["test"]))


def _frame(file: str) -> tuple[pd.DataFrame, str, str]:
    """The table, what separates the values of a row, and what stands before the fraction of a number."""
    if Path(file).suffix.lower() not in ENDINGS:
        raise UserError(f"Expected a file whose name ends in {' or '.join(ENDINGS)}, received {file}.")
    frame = read(file)
    if frame.shape[1] > 1 or file.endswith(".parquet"):
        return frame, ",", "."
    for separator in SEPARATORS:
        if separator in str(frame.columns[0]):
            found = read(file, separator)
            if any(_has_decimal_commas(found[name]) for name in found):
                return read(file, separator, ","), separator, ","
            return found, separator, "."
    raise UserError(
        f"{file} has one column, {str(frame.columns[0])[:60]!r}. Expected a header and values separated by commas, "
        "semicolons, tabs or bars."
    )


def _has_decimal_commas(column: pd.Series) -> bool:
    some = column.dropna().head(LOOKED_AT).astype(str)
    return bool(some.str.contains(",").any() and some.map(lambda value: bool(DECIMAL_COMMA.fullmatch(value))).all())


def _codes(file: str, separator: str) -> list[str]:
    """Columns of CSV with numbers that begin with a zero."""
    if file.endswith(".parquet"):
        return []
    words = pd.read_csv(file, sep=separator, dtype=str, nrows=LOOKED_AT, skipinitialspace=True)
    return [name for name in words if words[name].dropna().map(lambda word: bool(LEADING_ZERO.fullmatch(word))).any()]


def _are_numbers_in_words(column: pd.Series) -> bool:
    """Whether it has numbers with a unit, or with commas between thousands."""
    some = column.head(LOOKED_AT).astype(str)
    return bool(some.map(lambda value: bool(NUMBER.fullmatch(value))).all() and not some.str.isdecimal().all())


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
        shown = f", too many to be classes. They are words, such as {values[0]!r}" if not is_number else ", too many"
        raise UserError(f"The column {target.name!r} has {len(values)} different values{shown}.")
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
    if column.dtype == object and column.map(lambda value: isinstance(value, list | dict | np.ndarray)).any():
        return "it has lists"
    different = column.nunique()
    if different == 0:
        return "it is empty"
    if different == 1:
        return f"it is always {word(column.iloc[0])}"
    is_text = not pd.api.types.is_numeric_dtype(column)
    if pd.api.types.is_datetime64_any_dtype(column) or (is_text and _are_dates(column)):
        return "it is a date: say time=<column> to test with the latest rows"
    if is_text and not pd.api.types.is_bool_dtype(column) and _are_numbers_in_words(column):
        return f"its numbers are written as words, such as {column.iloc[0]!r}: leave units and commas out of them"
    if different == len(column) and (is_text or (pd.api.types.is_integer_dtype(column) and _counts(column))):
        return "every value is different, as of an id" + (" or a text" if is_text else "")
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
