"""Model cards (Mitchell et al. 2019): what a model is, what was measured, what it is not for, and how to call it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from registry import candidates
from registry.candidates import Candidate
from registry.ledger import ALIAS, Move, history
from tasks.contract import Scores, Task

ITEM_PARAM = "model.item"  # of a train run: shape and type of what the model takes
SLICES = 3  # of the worst ones
NOT_MEASURED = "–"
ALL_EXAMPLES = ("train_examples", "0")  # of a configuration; the number of examples stands below it
CONFIG = "config."  # what parameters of a train run that stand for its configuration begin with
CALL = """```sh
curl http://localhost:5001/invocations -H 'Content-Type: application/json' \\
  -d {body}
```"""


@dataclass(frozen=True)
class Facts:
    """What is known of a model. A card says no more than that.

    Attributes:
        name: What people know it by, e.g. "cnn, seed 1".
        config: The configuration that it was trained with.
        run: Parameters of the run that trained it: data and item among them.
        metrics: Values by name with the split, e.g. "val_accuracy", "test_accuracy_low".
        worst: Mean score on the test split of the slices that fare worst.
        rehearsal: What its rehearsal measured, by name.
        failure: Why its rehearsal failed, without a full stop.
        history: Sentences on what became of it.
    """

    name: str
    config: Mapping[str, Any]
    run: Mapping[str, str]
    metrics: Mapping[str, float]
    worst: Mapping[str, float] = field(default_factory=dict)
    rehearsal: Mapping[str, float] = field(default_factory=dict)
    failure: str = ""
    history: tuple[str, ...] = ()


def render(task: Task, facts: Facts) -> str:
    """The card as Markdown."""
    sections = {
        "": [f"# {task.name}: {facts.name}", task.summary, *facts.history],
        "What it learnt from": [_table(("", ""), _origin(facts))],
        "What was measured": [
            _table(("metric", "validation", "test", "95 % interval"), _figures(facts)),
            _worst(facts),
        ],
        "Rehearsal": [_rehearsal(facts)],
        "Limits": _limits(task),
        "How to call it": [_call(task, facts)],
    }
    parts = [f"## {title}" if title else "" for title in sections]
    text = [paragraph for part, lines in zip(parts, sections.values(), strict=True) for paragraph in (part, *lines)]
    return "\n\n".join(filter(None, text)) + "\n"


def facts_of(client: MlflowClient, task: Task, candidate: Candidate, version: ModelVersion | None) -> Facts:
    """What the tracking store and the registry know of a model."""
    try:
        run = client.get_run(candidate.run_id).data.params
    except MlflowException:  # deleted for good
        run = {}
    scored = candidates.scores(client, candidate)
    recorded = version.tags.get(candidates.REHEARSAL_TAG, "") if version is not None else ""
    passed = recorded.startswith("{")
    return Facts(
        name=candidate.name,
        config={key.removeprefix(CONFIG): value for key, value in run.items() if key.startswith(CONFIG)},
        run=run,
        metrics=candidate.metrics,
        worst=worst_slices(task, scored[0]) if scored else {},
        rehearsal=json.loads(recorded) if passed else {},
        failure="" if passed else recorded.removeprefix(candidates.FAILED).removeprefix(candidates.UNDECIDED),
        history=tuple(_history(history(client, task.name), version)),
    )


def describe(client: MlflowClient, task: Task, candidate: Candidate) -> str:
    """Puts the model's card, as things are now, where people look for it: on the logged model and on its version. The
    registered model gets a sentence on how to serve it. Gives the card."""
    version = candidates.version_of(client, task, candidate.model_id)
    card = render(task, facts_of(client, task, candidate, version))
    client.set_logged_model_tags(candidate.model_id, {MLFLOW_RUN_NOTE: card})
    if version is not None:
        client.update_model_version(version.name, version.version, card)
        serve = how_to_serve(task)
        client.update_registered_model(task.name, f"{task.summary}\n\nServe the champion: `{serve}`")
    return card


def how_to_serve(task: Task) -> str:
    """The command line that serves the champion as MLflow does."""
    return f"mlflow models serve -m models:/{task.name}@{ALIAS} --env-manager local -p 5001"


def worst_slices(task: Task, scores: Scores) -> dict[str, float]:
    """Mean score of the slices that fare worst, the worst first."""
    means = pd.Series(scores.score).groupby(scores.slice).mean()
    worst_first = means.sort_values(ascending=task.primary.higher_is_better)
    return {str(name): float(value) for name, value in worst_first[:SLICES].items()}


def _origin(facts: Facts) -> Iterable[tuple[str, ...]]:
    chosen = {key: value for key, value in facts.config.items() if (key, str(value)) != ALL_EXAMPLES}
    yield "configuration", ", ".join(f"{key} {value}" for key, value in chosen.items())
    for split in ("train", "validation"):
        digest = facts.run.get(f"data.{split}_digest")
        if digest:
            yield f"{split} split", f"{facts.run[f'data.{split}_examples']} examples, SHA-256 `{digest[:12]}…`"


def _figures(facts: Facts) -> Iterable[tuple[str, ...]]:
    """A row a metric that was measured on the validation split."""
    for key, value in facts.metrics.items():
        if not key.startswith("val_"):
            continue
        name = key.removeprefix("val_")
        test, low, high = (facts.metrics.get(f"test_{name}{end}") for end in ("", "_low", "_high"))
        interval = NOT_MEASURED if low is None or high is None else f"{low:.4f} to {high:.4f}"
        yield name, f"{value:.4f}", NOT_MEASURED if test is None else f"{test:.4f}", interval


def _worst(facts: Facts) -> str:
    if not facts.worst:
        return "The test split has not been read yet."
    slices = ", ".join(f"`{name}` ({score:.4f})" for name, score in facts.worst.items())
    return f"The slices that fare worst on the test split, by their mean: {slices}."


def _rehearsal(facts: Facts) -> str:
    if facts.failure:
        return f"**It did not pass:** {facts.failure}."
    if not facts.rehearsal:
        return "It has not been rehearsed yet."
    return (
        "In the server that `mlflow models serve` starts it answered {golden} golden requests (largest difference "
        "{parity:.2g}), refused {hostile} hostile ones, and took {p50_ms:.1f} ms for one item (95th percentile "
        "{p95_ms:.1f} ms) on the machine that rehearsed it."
    ).format(**facts.rehearsal)


def _limits(task: Task) -> list[str]:
    primary = task.primary
    bound = "at least" if primary.higher_is_better else "at most"
    return [
        *([task.limits] if task.limits else []),
        "It was measured on test examples from where its training examples come from; on others it may do worse. It "
        "answers whatever has the right form, also what it was never shown the like of.",
        f"To be promoted, its {primary.name} has to be {bound} {primary.floor:g}, and no worse than the champion's by "
        f"more than {primary.margin:g}.",
    ]


def _call(task: Task, facts: Facts) -> str:
    item = facts.run.get(ITEM_PARAM, "of the model's shape")
    return (
        f"An item is {item}, {task.item.ways_in_words}. To `mlflow models serve`, or the container:\n\n"
        f"{CALL.format(body=task.item.body)}"
    )


def _history(moves: list[Move], version: ModelVersion | None) -> Iterable[str]:
    """What the ledger says of a version."""
    if version is None:
        return
    number = str(version.version)
    if candidates.GATE_TAG in version.tags and number not in {move.after for move in moves}:
        yield f"**It was not promoted.** {version.tags[candidates.GATE_TAG]}"
    for move in moves:
        if move.after == number:
            yield f"**{move.time}** It became the champion ({move.kind}). {move.why}"
        elif move.before == number:
            after = f"version {move.after}" if move.after else "no version"
            what = "It was rolled back, and" if move.kind == "rollback" else "It was replaced;"
            yield f"**{move.time}** {what} {after} serves since then."


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
