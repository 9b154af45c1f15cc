"""How to write to MLflow's store while others do."""

from __future__ import annotations

from collections.abc import Callable

from mlflow.exceptions import MlflowException


def retried_once(call: Callable[..., object], *arguments: object, **options: object) -> None:
    """Calls what sets a tag or an alias, or logs a data set, and where that fails once more.

    MLflow's SQL store looks whether the row is there before it inserts it: of several writers at once all but one fail,
    and succeed when they try again.
    """
    try:
        call(*arguments, **options)
    except MlflowException:
        call(*arguments, **options)
