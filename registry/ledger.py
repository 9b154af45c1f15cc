"""The ledger: every move of a registered model's `champion` alias, kept in the tracking store.

MLflow moves an alias without history and lets the last writer win. The ledger adds both, with what any tracking store
offers: a run's parameter can be written once and never changed. Move number n is the parameter `move_<n>` of one run
named "ledger", so of all who try to make the n-th move exactly one succeeds, and nobody can rewrite it.

A move has three steps: the parameter is written (from here on it is decided), the alias is set, the move is marked as
applied. A process that dies in between leaves an alias that still points to a version that serves, and whoever comes
next completes the move (`settle`).
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import time
import uuid
from dataclasses import dataclass, field
from typing import Literal

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from registry.store import aliased, paged, retried_once

logger = logging.getLogger(__name__)

ALIAS = "champion"
MOVE_PREFIX = "move_"  # of the parameters
LEDGER_TAG = "dlc.ledger"  # on the registered model: the id of the ledger's run
# How long a process that decided a move has to apply it before others take it for dead.
GRACE_SECONDS = 5.0
MOST_CHARACTERS = 8_000  # of a run's tag; MLflow cuts off what is longer
Kind = Literal["promotion", "rollback", "by hand"]


class ConflictError(Exception):
    """Somebody else made this move first. Look again and decide anew."""


@dataclass(frozen=True)
class Move:
    """One change of the champion.

    Attributes:
        number: Counted from 1.
        kind: "by hand" is a change of the alias that this ledger did not make and found later.
        before: The version the alias pointed to, None for the first move.
        after: The version it points to from now on; None when the alias was removed by hand.
        why: The reason, for people.
        figures: The numbers behind it. They and the reason share 6,000 characters, a parameter's size.
        weights: Digest of the weights of `after`, where it is known.
        files: Digest of the manifest of the files of `after`, as they were when it was decided, where it is known.
        time: When it was decided, ISO 8601 in UTC.
        id: Tells apart two processes that want the same move.
    """

    number: int
    kind: Kind
    before: str | None
    after: str | None
    why: str
    figures: dict[str, float] = field(default_factory=dict)
    weights: str | None = None
    files: str | None = None
    time: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


def champion(client: MlflowClient, name: str) -> str | None:
    """The version that the alias points to, None where there is none."""
    return aliased(client, name, ALIAS)


class Ledger:
    """The ledger of one registered model."""

    def __init__(self, client: MlflowClient, name: str, run_id: str) -> None:
        self._client = client
        self._name = name
        self.run_id = run_id

    @classmethod
    def open(cls, client: MlflowClient, name: str, experiment_id: str) -> Ledger:
        """The ledger of the registered model `name`; both are created when they are not there."""
        run_id = _run_id(client, name) or _create(client, name, experiment_id)
        ledger = cls(client, name, run_id)
        if ledger._run().info.lifecycle_stage == "deleted":
            client.restore_run(run_id)  # a deleted run takes no more parameters
        return ledger

    def moves(self) -> list[Move]:
        """All moves, oldest first."""
        params = self._run().data.params
        moves = [_read(text) for key, text in params.items() if key.startswith(MOVE_PREFIX)]
        return sorted(moves, key=lambda move: move.number)

    def champion(self) -> str | None:
        """The version that the alias points to, None where there is none."""
        return champion(self._client, self._name)

    def settle(self) -> list[Move]:
        """Makes ledger and alias agree and gives all moves.

        A last move that was decided and not applied, because its process died, is applied. A last move that was applied
        and an alias that points elsewhere mean that somebody set the alias by hand: that is their right, and becomes a
        move of its own.
        """
        while True:
            moves = self.moves()
            if moves and not self._is_applied(moves[-1]):
                if not self._applied_within_grace(moves[-1]):
                    self._apply(moves[-1])
            elif self._agrees(moves):
                return moves
            elif not self._agrees_within_grace(moves):
                self._note_move_by_hand(moves)

    def move(
        self,
        moves: list[Move],
        kind: Kind,
        after: str,
        why: str,
        figures: dict[str, float],
        weights: str | None = None,
        files: str | None = None,
    ) -> Move:
        """Makes the move that follows `moves`.

        Raises:
            ConflictError: `moves` is out of date.
        """
        before = moves[-1].after if moves else None
        move = Move(len(moves) + 1, kind, before, after, why, figures, weights, files)
        self._append(move)
        self._apply(move)
        return move

    def _run(self) -> Run:
        return self._client.get_run(self.run_id)

    def _append(self, move: Move) -> None:
        key, text = f"{MOVE_PREFIX}{move.number:04d}", json.dumps(dataclasses.asdict(move))
        try:
            self._client.log_param(self.run_id, key, text)
        except MlflowException as error:
            if self._run().data.params.get(key, text) != text:
                raise ConflictError(f"move {move.number} has been made already") from error
            raise

    def _apply(self, move: Move) -> None:
        """Points the alias to where the move says and marks that. Safe to repeat, and to be done by several at once."""
        while not self._is_applied(move):
            self._point_alias(move.after)
            latest = self.moves()[-1]
            if latest.number != move.number:  # we were slow, and have just set the alias back in time
                self._point_alias(latest.after)
            self._set_tag(_applied_tag(move), "true")
            self._describe()
            move = latest

    def _applied_within_grace(self, move: Move) -> bool:
        """Gives whoever decided a move the time to apply it, and says whether that happened."""
        deadline = time.monotonic() + GRACE_SECONDS
        while not (applied := self._is_applied(move)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return applied

    def _agrees(self, moves: list[Move]) -> bool:
        return self.champion() == (moves[-1].after if moves else None)

    def _agrees_within_grace(self, moves: list[Move]) -> bool:
        """Gives a slow process that has set the alias back in time the time to notice, and says whether it did, or
        somebody made another move."""
        deadline = time.monotonic() + GRACE_SECONDS
        while not (agrees := self._agrees(moves) or len(self.moves()) > len(moves)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return agrees

    def _point_alias(self, version: str | None) -> None:
        if version is None:
            self._client.delete_registered_model_alias(self._name, ALIAS)
            return
        try:
            retried_once(self._client.set_registered_model_alias, self._name, ALIAS, version)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            logger.warning("Version %s, which the ledger moved to, was deleted; the alias stays.", version)

    def _set_tag(self, key: str, value: str) -> None:
        retried_once(self._client.set_tag, self.run_id, key, value)

    def _is_applied(self, move: Move) -> bool:
        return _applied_tag(move) in self._run().data.tags

    def _note_move_by_hand(self, moves: list[Move]) -> None:
        before = moves[-1].after if moves else None
        why = "The alias was found changed; nothing in this ledger did it."
        move = Move(len(moves) + 1, "by hand", before, self.champion(), why)
        try:
            self._append(move)
        except ConflictError:
            return  # somebody else noted it, or moved on
        self._set_tag(_applied_tag(move), "true")
        self._describe()

    def _describe(self) -> None:
        """The table that people see on the run's page: the latest moves, as many as a tag has room for."""
        head = [
            f"Every move of `models:/{self._name}@{ALIAS}`, the latest first; all are parameters of this run.",
            "",
            "| # | time | kind | from | to | why |",
            "|---|---|---|---|---|---|",
        ]
        rows = [
            f"| {m.number} | {m.time} | {m.kind} | {m.before or '—'} | {m.after or '—'} | {m.why} |"
            for m in reversed(self.moves())
        ]
        room = MOST_CHARACTERS - len("\n".join(head))
        lengths = itertools.accumulate(len(row) + 1 for row in rows)
        shown = [row for row, length in zip(rows, lengths, strict=True) if length <= room]
        self._set_tag("mlflow.note.content", "\n".join(head + shown))


def _read(text: str) -> Move:
    """A move as it was written, be it by earlier code or by later code, whose additional fields are left out."""
    known = {one.name for one in dataclasses.fields(Move)}
    return Move(**{name: value for name, value in json.loads(text).items() if name in known})


def _applied_tag(move: Move) -> str:
    return f"applied_{move.number:04d}"


def history(client: MlflowClient, name: str) -> list[Move]:
    """All moves of a registered model, oldest first; none where it has no ledger."""
    run_id = _run_id(client, name)
    return Ledger(client, name, run_id).moves() if run_id else []


def earlier_champions(moves: list[Move]) -> list[str]:
    """The versions that a rollback leads to, nearest first, the champion not among them.

    A promotion puts a version on a stack and a rollback takes everything above its target off again, so two rollbacks
    in a row lead two promotions back.
    """
    stack: list[str] = []
    for move in moves:
        if move.kind == "rollback" and move.after in stack:
            while stack[-1] != move.after:
                stack.pop()
        elif move.after is not None:
            stack.append(move.after)
    champion = moves[-1].after if moves else None
    return [version for version in reversed(stack) if version != champion]


def replaced_champions(moves: list[Move]) -> list[str]:
    """The versions that were champion until another one took their place, oldest first, the champion not among them.

    What was taken out of service is left out. A rollback does that, and a hand that removes the alias or sets it to an
    earlier champion.
    """
    served: dict[str, str | None] = {}
    for move in moves:
        if move.kind == "by hand" and move.before is not None and (move.after is None or move.after in served):
            served.pop(move.before, None)
        if move.after is not None:
            served[move.after] = move.weights or served.get(move.after)
    withdrawn = rolled_back(moves)
    known = {weights for weights in withdrawn.values() if weights is not None}
    champion = moves[-1].after if moves else None
    return [v for v, weights in served.items() if v != champion and v not in withdrawn and weights not in known]


def rolled_back(moves: list[Move]) -> dict[str, str | None]:
    """The versions that were last taken out of service by a rollback, with the digests of their weights."""
    weights: dict[str, str | None] = {}
    taken_out: dict[str, str | None] = {}
    for move in moves:
        if move.kind == "rollback" and move.before is not None:
            taken_out[move.before] = weights.get(move.before)
        if move.after is not None:
            weights[move.after] = move.weights or weights.get(move.after)
            back = weights[move.after]
            taken_out = {v: w for v, w in taken_out.items() if v != move.after and (w is None or w != back)}
    return taken_out


def _run_id(client: MlflowClient, name: str) -> str | None:
    """The ledger's run as the registered model names it; None where it names none or the run is gone for good."""
    try:
        run_id: str | None = client.get_registered_model(name).tags.get(LEDGER_TAG)
        if run_id is not None:
            client.get_run(run_id)
        return run_id
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _create(client: MlflowClient, name: str, experiment_id: str) -> str:
    """Creates the run and, with it, the registered model: the store lets exactly one of several at once do that.

    A registered model that somebody made before, without a ledger, gets the tag afterwards.
    """
    run = client.create_run(experiment_id, run_name="ledger", tags={"step": "ledger", "task": name})
    run_id: str = run.info.run_id
    client.set_terminated(run_id)
    try:
        client.create_registered_model(name, tags={LEDGER_TAG: run_id})
        return run_id
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    if (existing := _run_id(client, name)) is None:
        existing = _oldest_ledger(client, name, experiment_id)
        client.set_registered_model_tag(name, LEDGER_TAG, existing)
    if existing != run_id:
        client.delete_run(run_id)
    return existing


def _oldest_ledger(client: MlflowClient, name: str, experiment_id: str) -> str:
    """The one that all who look choose, where several were created at once.

    One with moves comes before one that was created just now, perhaps by a clock that was set back.
    """
    which = f"tags.step = 'ledger' AND tags.task = '{name}'"
    order = ["attributes.start_time ASC", "attributes.run_id ASC"]
    runs = paged(client.search_runs, [experiment_id], which, order_by=order)
    oldest = max(runs, key=lambda run: sum(key.startswith(MOVE_PREFIX) for key in run.data.params))
    run_id: str = oldest.info.run_id
    return run_id
