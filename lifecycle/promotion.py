"""Put the best evaluated candidate into service, if it is fit for that: rehearsal, gate, alias."""

from __future__ import annotations

import dataclasses
import json
import logging
import tempfile

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from lifecycle import runs
from lifecycle.contest import Contest, gather, is_champion, judge, same_as
from lifecycle.model_files import fetch
from registry import candidates
from registry.candidates import Candidate
from registry.card import describe
from registry.gate import Verdict
from registry.ledger import ALIAS, ConflictError, Ledger, Move, replaced_champions, rolled_back
from registry.shadow import Shadow, dismiss, shadow_beside
from serving.rehearsal import Rehearsal, RehearsalError, TooSlowError, rehearse
from tasks.contract import Task, UserError, how_to_run

logger = logging.getLogger(__name__)


def promote(task: Task, model_uri: str, least_shadowed: int = 0, by_a_person: bool = True) -> bool:
    """Moves the alias `champion` to the candidate where the gate allows it.

    Args:
        task: Whose champion it is.
        model_uri: Names the candidate.
        least_shadowed: How many requests it must have answered in the champion's shadow, where there is a champion.
        by_a_person: Whether somebody named it, who may put weights back into service that were rolled back.

    Returns:
        Whether the alias moved.

    Raises:
        UserError: There is no candidate, or it was never evaluated.
        RehearsalError: The candidate is broken.
    """
    client = runs.connect()
    name, note = "promote", f"Looks for a better champion of **{task.name}** (`model_uri={model_uri}`)."
    with runs.step_run(client, task, "promote", name, note) as run:
        ledger = Ledger.open(client, task.name, run.info.experiment_id)
        while True:
            contest = gather(client, task, model_uri, ledger.settle())
            try:
                return attempt(client, task, contest, ledger, least_shadowed, by_a_person)
            except ConflictError:
                logger.info("Another process moved the champion meanwhile; deciding anew.")


def attempt(
    client: MlflowClient,
    task: Task,
    contest: Contest,
    ledger: Ledger,
    least_shadowed: int = 0,
    by_a_person: bool = True,
) -> bool:
    """Rehearses the candidate, lets the gate decide, and does what it says; gives whether the alias moved.

    Raises:
        ConflictError: Another process moved the champion since the contest was gathered.
        RehearsalError: The candidate is broken.
    """
    candidate = contest.candidate
    mlflow.set_tag("candidate", candidate.uri)
    if is_champion(candidate, contest.champion):
        tell(task, contest.moves, f"{label(candidate)} is the champion already; nothing to do.")
        return False
    if not by_a_person and (before := same_as(candidate, rolled_back(contest.moves))) is not None:
        leave_out(task, contest, before)
        return False
    version = candidates.register(client, task, candidate)
    shadow = shadow_of(version, contest)
    if shadow is not None and shadow.items < least_shadowed:
        put_off(client, task, contest, version, shadow, least_shadowed)
        return False
    try:
        files = record_rehearsal(client, task, candidate, version)
    except TooSlowError as error:
        tell(task, contest.moves, f"{label(candidate)} was not promoted: {error}.")
        return False
    verdict = judge(client, task, candidate, contest.champion, replaced_champions(contest.moves))
    if shadow is not None:
        reason = " ".join(filter(None, (verdict.reason, shadow.in_words)))
        verdict = dataclasses.replace(verdict, reason=reason, figures=verdict.figures | shadow.figures)
    candidates.annotate(client, version, candidates.GATE_TAG, verdict.reason)
    mlflow.log_metrics({f"gate_{key}": value for key, value in verdict.figures.items()})
    if verdict.promote:
        install(client, task, contest, version, verdict, files, ledger)
    else:
        refuse(client, task, contest, version, verdict)
    return verdict.promote


def leave_out(task: Task, contest: Contest, before: str) -> None:
    """Says that the candidate has the weights of a version that was rolled back, as `best` does."""
    by_name = how_to_run("promote", task=task.name, model_uri=contest.candidate.uri)
    reason = (
        f"Left out, because rolled back: version {before} has the same weights. One that was rolled back has to be "
        f"named by model_uri: {by_name}"
    )
    tell(task, contest.moves, f"{label(contest.candidate)} was not promoted. {reason}")


def shadow_of(version: ModelVersion, contest: Contest) -> Shadow | None:
    """What the version answered in the champion's shadow; None where there is no champion."""
    champion = contest.moves[-1].after if contest.moves else None
    return None if champion is None else shadow_beside(version, champion)


def put_off(
    client: MlflowClient, task: Task, contest: Contest, version: ModelVersion, shadow: Shadow, least: int
) -> None:
    """Says that the candidate has answered too few requests in the champion's shadow; `best` takes it again."""
    appoint = how_to_run("promote", task=task.name, model_uri=contest.candidate.uri, to="challenger")
    reason = (
        f"In the shadow of version {shadow.champion} it answered {shadow.items:,} requests, and {least:,} are asked "
        f"for. Make it the challenger ({appoint}), and let a gateway with shadow=1 serve."
    )
    candidates.annotate(client, version, candidates.GATE_TAG, reason)
    mlflow.log_metrics({f"gate_{key}": value for key, value in shadow.figures.items()})
    describe(client, task, contest.candidate)
    tell(task, contest.moves, f"{label(contest.candidate)} was not promoted. {reason}")


def refuse(client: MlflowClient, task: Task, contest: Contest, version: ModelVersion, verdict: Verdict) -> None:
    """Keeps with the version which champion it was refused beside, so that `best` leaves it out until that changes."""
    if contest.champion is not None:
        candidates.annotate(client, version, candidates.REFUSED_TAG, str(contest.moves[-1].after))
    describe(client, task, contest.candidate)
    tell(task, contest.moves, f"{label(contest.candidate)} was not promoted. {verdict.reason}")


def install(
    client: MlflowClient,
    task: Task,
    contest: Contest,
    version: ModelVersion,
    verdict: Verdict,
    files: str,
    ledger: Ledger,
) -> None:
    """Moves the alias to the candidate's version.

    Raises:
        ConflictError: Another process moved it since the contest was gathered.
        UserError: The version was deleted meanwhile.
    """
    weights = contest.candidate.weights
    move = ledger.move(
        contest.moves, "promotion", str(version.version), verdict.reason, verdict.figures, weights, files
    )
    check_still_there(client, version)
    dismiss(client, version)
    for model in filter(None, (contest.candidate, contest.champion)):
        describe(client, task, model)
    tell(task, [*contest.moves, move], f"{label(contest.candidate)} is the new champion. {verdict.reason}")


def check_still_there(client: MlflowClient, version: ModelVersion) -> None:
    """
    Raises:
        UserError: The version was deleted while it was promoted, so that the alias could not move.
    """
    try:
        client.get_model_version(version.name, version.version)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise UserError(
            f"Version {version.version} of {version.name} was deleted while it was promoted; the champion stays. "
            "Run promote again: the model is registered anew."
        ) from error


def record_rehearsal(client: MlflowClient, task: Task, candidate: Candidate, version: ModelVersion) -> str:
    """Rehearses a candidate's version, records on it how that went, and gives the digest of its files.

    Raises:
        RehearsalError: It failed; the reason is on the version.
        TooSlowError: The same, but `best` takes the version again.
    """
    try:
        rehearsal, files = rehearsed(client, version, task.latency_bound_ms)
    except RehearsalError as error:
        outcome = candidates.UNDECIDED if isinstance(error, TooSlowError) else candidates.FAILED
        candidates.annotate(client, version, candidates.REHEARSAL_TAG, f"{outcome}{error}")
        describe(client, task, candidate)
        raise
    candidates.annotate(client, version, candidates.REHEARSAL_TAG, json.dumps(dataclasses.asdict(rehearsal)))
    logger.info(
        "Version %s answered %d golden requests and refused %d hostile ones; %.1f ms for one item.",
        version.version,
        rehearsal.golden,
        rehearsal.hostile,
        rehearsal.p50_ms,
    )
    return files


def rehearsed(client: MlflowClient, version: ModelVersion, latency_bound_ms: float) -> tuple[Rehearsal, str]:
    """What the rehearsal of a version measured, and the digest of the files that were rehearsed.

    Raises:
        RehearsalError: It failed, or the files are not those that were logged.
        UserError: The store does not give the files at the moment.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = fetch(client, candidates.model_id_of(version), folder, version, keep=True)
        return rehearse(files.path, latency_bound_ms), files.digest


def label(candidate: Candidate) -> str:
    """What people know a candidate by."""
    return f"{candidate.name} ({candidate.uri})"


def tell(task: Task, moves: list[Move], outcome: str) -> None:
    """Says how it ended, on the screen and in the run."""
    serving = f"models:/{task.name}@{ALIAS} is version {moves[-1].after}." if moves else f"{task.name} has no champion."
    runs.describe(f"{outcome}\n\n{serving}")
    print(f"{outcome}\n{serving}")
