"""Data as the plain scripts read them."""

from pathlib import Path

import numpy as np

from tasks.contract import Task


def save(task: Task, path: Path) -> None:
    """Writes x_train, y_train, x_test and y_test; the scripts split the validation examples off by themselves."""
    train, validation, test = (task.load(name) for name in ("train", "validation", "test"))
    np.savez(
        path,
        x_train=np.concatenate([train.inputs, validation.inputs]),
        y_train=np.concatenate([train.targets, validation.targets]),
        x_test=test.inputs,
        y_test=test.targets,
    )
