"""The record of traffic, where the steps that read it or add to it find it: in a folder of this machine, or in an
object store, from which they take no more than they need."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lifecycle import runs
from lifecycle.outside import reason_and_advice
from monitoring.labels import PATTERN, add_labels
from monitoring.record import may_have
from served.record_store import is_address, plain, problem_of, repository_of
from served.verdicts import file_of
from tasks.contract import UserError

OWN_STORE = "mlflow-artifacts:"  # what the tracking server itself keeps artifacts in
OTHERWISE = "See whether the store answers, and try again"

Place = Path | str  # a folder, or the address of a store


def place_of(given: str) -> Place:
    """The folder or address that is named, or TRAFFIC_DIR.

    Raises:
        UserError: Neither is.
    """
    named = given or os.environ.get("TRAFFIC_DIR", "")
    if not named:
        raise UserError(
            "Expected the folder of the record, or its address: traffic=<folder>, or TRAFFIC_DIR as for the servers."
        )
    return named if is_address(named) else Path(named).expanduser()


@contextlib.contextmanager
def at_hand(place: Place, since: float) -> Iterator[Path]:
    """The folder with what was recorded from `since` on, in seconds since 1970, and all labels. What comes from a store
    is a copy.

    Raises:
        UserError: There is no record, or the store does not give it.
    """
    if isinstance(place, Path):
        yield existing(place)
        return
    with tempfile.TemporaryDirectory() as folder:
        with _store(place) as repository:
            names = [file.path for file in repository.list_artifacts()]
            if not names:
                raise UserError(
                    f"There is nothing at {plain(place)}. Serve with TRAFFIC_DIR=<address>, and name it with "
                    "traffic=<address>."
                )
            for name in names:
                if may_have(name, since) or Path(name).match(PATTERN):
                    repository.download_artifacts(name, folder)
        yield Path(folder)


def keep_labels(place: Place, file: Path) -> int:
    """Adds the labels of a CSV file to the record, see `monitoring.labels.add_labels`; gives how many.

    Raises:
        LabelError: It is no such file.
        UserError: There is no record, or the store does not take them.
    """
    if isinstance(place, Path):
        return add_labels(existing(place), file)
    with tempfile.TemporaryDirectory() as folder:
        number = add_labels(Path(folder), file)
        with _store(place) as repository:
            for labels in Path(folder).glob(PATTERN):
                repository.log_artifact(str(labels))
    return number


def keep_verdict(place: Place, folder: Path, name: str) -> None:
    """Sends what was left in the folder about a registered model to the store that this is a copy of.

    Raises:
        UserError: The store does not take it.
    """
    if not isinstance(place, Path):
        with _store(place) as repository:
            repository.log_artifact(str(folder / file_of(name)))


def existing(folder: Path) -> Path:
    """
    Raises:
        UserError: There is no such folder.
    """
    if not folder.is_dir():
        raise UserError(
            f"There is no folder {folder}. Serve with TRAFFIC_DIR=<folder>, and name it with traffic=<folder>."
        )
    return folder


@contextlib.contextmanager
def _store(address: str) -> Iterator[Any]:
    """MLflow's way to the store; what goes wrong with that inside is told in a line.

    Raises:
        UserError: Something did.
    """
    if problem := problem_of(address):
        raise UserError(f"The record of traffic is at an address, {problem}.")
    if address.startswith(OWN_STORE):
        runs.connect()  # where that server does not answer, MLflow itself would try again for minutes
    try:
        yield repository_of(address)
    except UserError:
        raise
    except Exception as error:  # whatever the store's client raises
        reason, advice = reason_and_advice(error) or (str(error) or type(error).__name__, OTHERWISE)
        told = plain(reason).rstrip(".")
        raise UserError(f"The record at {plain(address)} cannot be used: {told}. {advice.rstrip('.')}.") from error
