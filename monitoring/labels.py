"""Right answers that become known after a model has answered, kept beside the record of its traffic."""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd

COLUMNS = ("id", "label")
PATTERN = "labels-*.parquet"


class LabelError(Exception):
    """A file has no labels; the message says in one line what was expected."""


def add_labels(folder: Path, file: Path) -> int:
    """Keeps the labels of a CSV file, with the columns `id` (of a request, or of an item: `<request>.<place>`) and
    `label`; gives how many. What is known of an item already is replaced.

    Raises:
        LabelError: It is no such file.
    """
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        reason = " ".join(str(error).split())
        raise LabelError(f"{file} cannot be read as CSV: {reason}") from error
    if missing := [name for name in COLUMNS if name not in table.columns]:
        given = ", ".join(map(repr, table.columns)) or "none"
        raise LabelError(f"Expected {file.name} to have the columns 'id' and 'label', no {missing[0]!r} among {given}")
    if table["id"].duplicated().any():
        twice = table["id"][table["id"].duplicated()].iloc[0]
        raise LabelError(f"Expected one label an item, {file.name} has several of {twice!r}")
    kept = table[list(COLUMNS)][table["label"] != ""]
    if kept.empty:
        raise LabelError(f"{file.name} has no labels")
    target = folder / f"labels-{time.time_ns()}.parquet"
    draft = target.with_name(f".{target.name}.tmp")
    kept.to_parquet(draft)
    draft.replace(target)
    return len(kept)


def read_labels(folder: Path) -> dict[str, str]:
    """All labels that are known, by the id of the item; the latest where one was given several times."""
    known: dict[str, str] = {}
    for file in sorted(folder.glob(PATTERN)):
        table = pd.read_parquet(file)
        known |= dict(zip(table["id"], table["label"], strict=True))
    return known
