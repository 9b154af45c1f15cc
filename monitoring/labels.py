"""Right answers that become known after a model has answered, kept beside the record of its traffic."""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd
from filelock import FileLock

from monitoring.files import UNREADABLE, draft_of, left_out, put
from monitoring.record import LOCK

COLUMNS = ("id", "label")
PATTERN = "labels-*.parquet"


class LabelError(Exception):
    """A file has no labels; the message says in one line what was expected."""


def add_labels(folder: Path, file: Path) -> int:
    """Keeps the labels of a CSV file, with the columns `id` (of a request, or of an item: `<request>.<place>`) and
    `label`; gives how many. What is known of an item already is replaced. Spaces around either do not count.

    Raises:
        LabelError: It is no such file.
    """
    try:
        # Of the header as a row like others, pandas tells a row that has more fields. Else it would take the first
        # fields for names of the rows, and the labels for ids.
        table = pd.read_csv(file, dtype=str, keep_default_na=False, header=None)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        reason = " ".join(str(error).split())
        raise LabelError(f"{file} cannot be read as CSV: {reason}") from error
    table = table[1:].set_axis(table.iloc[0], axis="columns").loc[:, ~table.iloc[0].duplicated().to_numpy()]
    if missing := [name for name in COLUMNS if name not in table.columns]:
        given = ", ".join(map(repr, table.columns)) or "none"
        raise LabelError(f"Expected {file.name} to have the columns 'id' and 'label', no {missing[0]!r} among {given}")
    table = table[list(COLUMNS)].apply(lambda column: column.str.strip())
    if table["id"].duplicated().any():
        twice = table["id"][table["id"].duplicated()].iloc[0]
        raise LabelError(f"Expected one label an item, {file.name} has several of {twice!r}")
    kept = table[table["label"] != ""].reset_index(drop=True)
    if kept.empty:
        raise LabelError(f"{file.name} has no labels")
    target = folder / f"labels-{time.time_ns()}.parquet"
    with FileLock(folder / LOCK):  # whoever packs the record removes drafts
        kept.to_parquet(draft_of(target))
        put(target)
    return len(kept)


def read_labels(folder: Path) -> dict[str, str]:
    """All labels that are known, by the id of the item; the latest where one was given several times. A file that
    cannot be read is left out."""
    known: dict[str, str] = {}
    for file in sorted(folder.glob(PATTERN)):
        try:
            table = pd.read_parquet(file)[list(COLUMNS)].dropna().astype(str)
        except UNREADABLE:
            left_out(file)
            continue
        known |= dict(zip(table["id"], table["label"], strict=True))
    return known
