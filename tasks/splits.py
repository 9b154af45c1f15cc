"""How examples are divided into the three splits: each function gives the rows of every split by its name.

Train has 70 %, validation and test have 15 % each. The same arguments get the same rows.
"""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from tasks.contract import UserError

HELD_OUT = 0.3  # of the examples, half of them for validation and half for test
Rows = dict[str, np.ndarray]


def shuffled(count: int, seed: int = 1) -> Rows:
    """By chance."""
    train, rest = train_test_split(np.arange(count), test_size=HELD_OUT, random_state=seed)
    validation, test = train_test_split(rest, test_size=0.5, random_state=seed)
    return {"train": train, "validation": validation, "test": test}


def stratified(classes: np.ndarray, seed: int = 1) -> Rows:
    """By chance, with each class's share the same in every split.

    Raises:
        UserError: A class has too few examples.
    """
    names, counts = np.unique(classes, return_counts=True)
    if counts.min() < 7:  # or a split may have none
        raise UserError(
            f"The class {str(names[counts.argmin()])!r} has {counts.min()} examples; at least 7 are needed to have "
            "some in every split. Leave it out, or join it with another."
        )
    train, rest = train_test_split(np.arange(len(classes)), test_size=HELD_OUT, random_state=seed, stratify=classes)
    validation, test = train_test_split(rest, test_size=0.5, random_state=seed, stratify=classes[rest])
    return {"train": train, "validation": validation, "test": test}


def by_group(groups: np.ndarray, seed: int = 1) -> Rows:
    """By chance, with all examples of a group, e.g. of a patient, in one split.

    Raises:
        UserError: There are too few groups.
    """
    if (count := len(np.unique(groups))) < 7:
        raise UserError(f"There are {count} groups; at least 7 are needed for three splits.")
    rows = np.arange(len(groups))
    train, rest = next(GroupShuffleSplit(1, test_size=HELD_OUT, random_state=seed).split(rows, groups=groups))
    first, second = next(GroupShuffleSplit(1, test_size=0.5, random_state=seed).split(rest, groups=groups[rest]))
    return {"train": train, "validation": rest[first], "test": rest[second]}


def in_time(times: np.ndarray) -> Rows:
    """The earliest to learn from, the latest to test with: as a model is used."""
    order = np.argsort(times, kind="stable")
    first, second = (round(len(order) * share) for share in (1 - HELD_OUT, 1 - HELD_OUT / 2))
    return {"train": order[:first], "validation": order[first:second], "test": order[second:]}
