"""Put the champion before the present one back into service."""

from __future__ import annotations

import contextlib
import logging
import math

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from lifecycle import runs
from lifecycle.contest import champion_of
from lifecycle.promotion import rehearsed
from registry.candidates import find
from registry.card import describe
from registry.ledger import ALIAS, ConflictError, Ledger, earlier_champions
from serving.rehearsal import RehearsalError
from tasks.contract import Task, UserError

logger = logging.getLogger(__name__)


def rollback(task: Task) -> str:
    """Moves the alias back to the nearest earlier champion that still serves, and gives its version.

    Raises:
        UserError: There is no earlier champion, or another process moved the alias meanwhile.
    """
    client = runs.connect()
    note = f"Takes the champion of **{task.name}** out of service."
    with runs.step_run(client, task, "rollback", "rollback", note) as run:
        ledger = Ledger.open(client, task.name, run.info.experiment_id)
        moves = ledger.settle()
        with contextlib.suppress(UserError):  # whatever it is, it goes
            champion_of(client, task, moves)  # tells when its run is gone
        before = moves[-1].after if moves else None
        for version in earlier_champions(moves):
            if (files := _files_that_serve(client, task, version)) is None:
                continue
            why = f"Rolled back from version {before}."
            try:
                ledger.move(moves, "rollback", version, why, {}, files=files)
            except ConflictError as error:
                raise UserError(
                    "Another process moved the champion meanwhile. Look, and roll back again if need be."
                ) from error
            outcome = f"models:/{task.name}@{ALIAS} went back from version {before} to version {version}."
            for number in filter(None, (before, version)):
                with contextlib.suppress(UserError):  # its model is gone
                    describe(client, task, find(client, task, f"models:/{task.name}/{number}"))
            runs.describe(outcome)
            print(outcome)
            return version
        raise UserError(f"{task.name} has no earlier champion to roll back to.")


def _files_that_serve(client: MlflowClient, task: Task, version: str) -> str | None:
    """The digest of an earlier champion's files where it is still there and answers as it should; says so where not.

    How fast it is it has shown before, and a machine in trouble is slow. That it failed now is not kept either.
    """
    try:
        _, files = rehearsed(client, client.get_model_version(task.name, version), latency_bound_ms=math.inf)
    except (MlflowException, RehearsalError, UserError) as error:
        logger.warning("Version %s is passed over: %s", version, str(error).splitlines()[0])
        return None
    return files
