"""Make the best evaluated candidate, or another one, the challenger: it answers in the champion's shadow."""

from __future__ import annotations

import mlflow

from lifecycle import runs
from lifecycle.contest import champion_of, choose, is_champion
from lifecycle.promotion import label, record_rehearsal, tell
from registry import candidates
from registry.ledger import Ledger
from registry.shadow import ALIAS, appoint
from serving.rehearsal import TooSlowError
from tasks.contract import Task, UserError, how_to_run


def challenge(task: Task, model_uri: str) -> bool:
    """Points the alias `challenger` at the candidate's version, if that passes its rehearsal.

    No gate is asked: what the version answers, nobody sees.

    Returns:
        Whether it is the challenger now.

    Raises:
        UserError: There is no candidate, it was never evaluated, or there is no champion to challenge.
        RehearsalError: The candidate is broken.
    """
    client = runs.connect()
    note = f"Looks for a challenger of the champion of **{task.name}** (`model_uri={model_uri}`)."
    with runs.step_run(client, task, "promote", "promote to challenger", note) as run:
        moves = Ledger.open(client, task.name, run.info.experiment_id).settle()
        if not moves or moves[-1].after is None:
            first = how_to_run("promote", task=task.name)
            raise UserError(f"{task.name} has no champion to challenge. Promote one first: {first}")
        candidate = choose(client, task, model_uri, moves)
        mlflow.set_tag("candidate", candidate.uri)
        if is_champion(candidate, champion_of(client, task, moves)):
            tell(task, moves, f"{label(candidate)} is the champion already; nothing to do.")
            return False
        version = candidates.register(client, task, candidate)
        try:
            record_rehearsal(client, task, candidate, version)
        except TooSlowError as error:
            tell(task, moves, f"{label(candidate)} is no challenger: {error}.")
            return False
        appoint(client, version)
        named = f"models:/{task.name}@{ALIAS} is version {version.version}"
        tell(task, moves, f"{label(candidate)} is the challenger now: {named}.")
        return True
