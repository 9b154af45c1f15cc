"""How to read all that MLflow's store has, and how to write to it while others do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException


def paged(search: Callable[..., Any], *arguments: object, **options: object) -> Iterator[Any]:
    """Everything that a search of MLflow's client finds. One call gives a page, and the next page when there is more
    to come; it is asked for when the one before has been used up.

    Args:
        search: `MlflowClient.search_runs`, `search_logged_models` or `search_model_versions`.
        *arguments: Of the search.
        **options: Of the search.
    """
    page = search(*arguments, **options)
    yield from page
    while page.token:
        page = search(*arguments, page_token=page.token, **options)
        yield from page


def aliased(client: MlflowClient, name: str, alias: str) -> str | None:
    """The version of a registered model that an alias points to, None where there is none."""
    try:
        # Asking for the registered model instead would make the store read all of its versions.
        return str(client.get_model_version_by_alias(name, alias).version)
    except MlflowException as error:
        # Nothing was ever registered, or there is no such alias.
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None


def retried_once(call: Callable[..., object], *arguments: object, **options: object) -> None:
    """Calls what sets a tag or an alias, or logs a data set, and where that fails once more.

    MLflow's SQL store looks whether the row is there before it inserts it: of several writers at once all but one fail,
    and succeed when they try again.
    """
    try:
        call(*arguments, **options)
    except MlflowException:
        call(*arguments, **options)
