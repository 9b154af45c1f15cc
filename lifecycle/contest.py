"""Who stands against whom for the alias, and how both did on the same test data."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from lifecycle.scoring import evaluate
from registry import candidates, gate
from registry.candidates import Candidate
from registry.gate import FormerChampion, Verdict
from registry.ledger import Move, rolled_back
from serving.rehearsal import RehearsalError
from tasks.contract import Scores, Task, UserError, how_to_run, one_line

logger = logging.getLogger(__name__)

PASSED_OVER = "Nothing can be compared with version %s, a champion before: %s"


@dataclass(frozen=True)
class Contest:
    """What is known before anything is decided.

    Attributes:
        moves: Those of the ledger so far.
        candidate: Who wants to be the champion.
        champion: The champion; None where there is none to compare with.
    """

    moves: list[Move]
    candidate: Candidate
    champion: Candidate | None


def gather(client: MlflowClient, task: Task, model_uri: str, moves: list[Move]) -> Contest:
    """
    Raises:
        UserError: There is no candidate, it was never evaluated, or nothing can be compared with the champion.
    """
    candidate = choose(client, task, model_uri, moves)
    champion = champion_of(client, task, moves)
    if champion is not None and not client.list_logged_model_artifacts(champion.model_id):
        logger.warning("The files of the champion, %s, are gone. Whatever is fit replaces it.", champion.uri)
        champion = None
    return Contest(moves, candidate, champion)


def choose(client: MlflowClient, task: Task, model_uri: str, moves: list[Move]) -> Candidate:
    """The candidate that `model_uri` names. "best" is the best evaluated one on the validation split, without what was
    rolled back, refused or broken.

    Raises:
        UserError: There is none, or it was never evaluated.
    """
    if model_uri != "best":
        candidate = candidates.find(client, task, model_uri)
        if candidate.evaluation_run is None:
            raise UserError(
                f"{candidate.uri} was never evaluated. "
                f"Run: {how_to_run('evaluate', task=task.name, model_uri=candidate.uri)}"
            )
        return candidate
    rejected = rolled_back(moves)
    if rejected:
        logger.info("Left out, because rolled back: %s.", ", ".join(f"version {number}" for number in sorted(rejected)))
    excluded = candidates.refused(client, task, champion=moves[-1].after if moves else None)
    for number in rejected:
        excluded |= candidates.models_of_versions(client, task, f"version_number = {number}")
    for candidate in candidates.best_first(client, task, evaluated=True):
        if candidate.model_id not in excluded and same_as(candidate, rejected) is None:
            return candidate
    raise UserError(
        f"{task.name} has no evaluated candidate. Evaluate one first: {how_to_run('evaluate', task=task.name)} "
        "(one that was rolled back, refused or broken has to be named by model_uri)"
    )


def same_as(candidate: Candidate, rejected: Mapping[str, str | None]) -> str | None:
    """Which of the versions that were rolled back has the candidate's weights, None where none is known to."""
    same = (number for number, weights in rejected.items() if weights is not None and weights == candidate.weights)
    return next(same, None)


def champion_of(client: MlflowClient, task: Task, moves: list[Move]) -> Candidate | None:
    """The champion, None where there is none or its model is gone.

    Raises:
        UserError: It was not made by `train`, so nothing can be compared with it.
    """
    if not moves or (version := moves[-1].after) is None:
        return None
    try:
        champion = candidates.find(client, task, f"models:/{task.name}/{version}")
    except candidates.NoSuchModelError as error:
        logger.warning("Nothing can be compared with the champion, version %s: %s", version, error)
        return None
    except UserError as error:
        raise _incomparable(task, error) from error
    try:
        deleted = client.get_run(champion.run_id).info.lifecycle_stage == "deleted"
    except MlflowException:
        deleted = True
    if deleted:
        logger.warning("The run %s that trained the champion, version %s, was deleted.", champion.run_id, version)
    return champion


def _incomparable(task: Task, reason: Exception) -> UserError:
    """What a person is told where the champion is nothing to compare with."""
    return UserError(
        f"Nothing can be compared with the champion: {one_line(reason).rstrip('.')}. "
        f"Put an earlier one into service first: {how_to_run('rollback', task=task.name)}"
    )


def is_champion(candidate: Candidate, champion: Candidate | None) -> bool:
    """Whether they are the same model, or two with the same weights, e.g. of a run that was repeated."""
    if champion is None:
        return False
    same_weights = candidate.weights is not None and candidate.weights == champion.weights
    return candidate.model_id == champion.model_id or same_weights


def judge(
    client: MlflowClient, task: Task, candidate: Candidate, champion: Candidate | None, replaced: Sequence[str] = ()
) -> Verdict:
    """The gate's verdict, from predictions on the same test data.

    Args:
        client: Of the tracking store.
        task: Names the metric.
        candidate: Who wants to be the champion.
        champion: The champion; None where there is none to compare with.
        replaced: Versions that were champion before.

    Raises:
        UserError: The champion has to be evaluated, and does not load.
    """
    mine, theirs = scores_of(client, task, candidate), None
    if champion is not None:
        try:
            theirs = scores_of(client, task, champion)
            if theirs[1] != mine[1]:
                logger.info("The two were evaluated on different test data; both are evaluated anew.")
                mine, theirs = (scores_of(client, task, evaluate(task, model.uri)) for model in (candidate, champion))
        except RehearsalError as error:  # the champion's: the candidate has just had its rehearsal
            raise _incomparable(task, error) from error
    former = best_former_champion(client, task, candidate, mine[1], replaced)
    return gate.decide(task.primary, mine[0], theirs[0] if theirs else None, former)


def best_former_champion(
    client: MlflowClient, task: Task, candidate: Candidate, data: str, replaced: Sequence[str]
) -> FormerChampion | None:
    """The one with the best test metric of the champions before the present one, evaluated anew where that was on other
    data. One that cannot be compared with any more is passed over, and that is said.

    Args:
        client: Of the tracking store.
        task: Names the metric.
        candidate: It is not compared with itself.
        data: Digest of the test data that the candidate was evaluated on.
        replaced: The versions to choose from.
    """
    metric = f"test_{task.primary.name}"
    former = [(version, model) for version in replaced if (model := _former(client, task, version))]
    former = [pair for pair in former if metric in pair[1].metrics and not is_champion(candidate, pair[1])]
    for version, model in sorted(former, key=lambda pair: task.primary.sign * pair[1].metrics[metric], reverse=True):
        try:
            found = scores_of(client, task, model)
            if found[1] != data:
                found = scores_of(client, task, evaluate(task, model.uri))
            return FormerChampion(version, found[0])
        except RehearsalError as error:
            logger.warning(PASSED_OVER, version, one_line(error))
    return None


def _former(client: MlflowClient, task: Task, version: str) -> Candidate | None:
    try:
        return candidates.find(client, task, f"models:/{task.name}/{version}")
    except UserError as error:
        logger.warning(PASSED_OVER, version, one_line(error))
        return None


def scores_of(client: MlflowClient, task: Task, candidate: Candidate) -> tuple[Scores, str]:
    """The kept scores of a model and the digest of its test data; evaluated anew where they are gone."""
    kept = candidates.scores(client, candidate)
    if kept is None:
        logger.info("The evaluation of %s is gone, or its file was changed; it is evaluated anew.", candidate.uri)
        kept = candidates.scores(client, evaluate(task, candidate.uri))
        assert kept is not None
    return kept
