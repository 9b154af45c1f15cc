"""What follows from what was watched: nothing, a closer look, or another training. A pure decision, told in
sentences."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from monitoring.drift import LEVEL, Finding, alarms
from monitoring.estimate import Estimate
from monitoring.windows import Measured, Watched

MOST_FAILED = 0.01  # the share of requests that the model may fail
MOST_LOST = 0.02  # what accuracy may fall below that on the validation split, as a share of 1
SEVERE = 0.25  # a severity from which drift of answers that nobody can judge is no trifle
MOST_NAMED = 3  # findings in a sentence


class Level(IntEnum):
    """What to do, with the exit code that says it to a scheduler."""

    FINE = 0
    WATCH = 3
    RETRAIN = 4

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Reason:
    """Something that was seen, in sentences, and what it asks for.

    Attributes:
        level: That it alone would be.
        sentence: For people.
        when: The window, and the version that answered in it; empty where it is about all.
    """

    level: Level
    sentence: str
    when: str = ""


@dataclass(frozen=True)
class Verdict:
    """What to do, and all that was seen: the gravest first, and of equal ones the latest."""

    level: Level
    reasons: tuple[Reason, ...]


def corrected(windows: Sequence[Watched]) -> list[Watched]:
    """The windows, whose findings take into account that there are several windows: of reports without drift no more
    than the level have an alarm."""
    compared = max(1, sum(bool(one.findings) for one in windows))

    def of(one: Finding) -> Finding:
        return dataclasses.replace(one, probability=min(1.0, compared * one.probability))

    return [dataclasses.replace(one, findings=tuple(map(of, one.findings))) for one in windows]


def decide(windows: Sequence[Watched], accuracies: Mapping[str, Mapping[str, float]], level: float = LEVEL) -> Verdict:
    """The verdict on windows in their order, the latest last.

    Args:
        windows: Those that `corrected` gives.
        accuracies: On the validation split, by source and by the name of the output.
        level: Of false alarms.
    """
    reasons = [
        dataclasses.replace(reason, when=f"{window.when} UTC, {window.source}")
        for window in reversed(windows)
        for reason in _reasons(window, accuracies.get(window.source, {}), level)
    ]
    if not windows:
        reasons = [Reason(Level.WATCH, "Nothing was served, or nothing was recorded of it.")]
    if not reasons:
        reasons = [
            Reason(Level.FINE, "What was served is what the model was validated on, and it is answered as then.")
        ]
    reasons.sort(key=lambda reason: -reason.level)
    return Verdict(reasons[0].level, tuple(reasons))


def _reasons(window: Watched, accuracies: Mapping[str, float], level: float) -> Iterator[Reason]:
    requests = window.items + sum(window.refused.values())
    if requests and window.failed > MOST_FAILED * requests:
        share = 100 * window.failed / requests
        yield Reason(Level.WATCH, f"The model failed {window.failed} of {requests} requests ({share:.1f} %).")
    found = alarms(window.findings, level)
    drift = f"Drift: {_named(found)}." if found else ""
    for output, expected in accuracies.items():
        of = f" of {output}" if output else ""
        if (known := window.measured.get(output)) is not None:
            yield from _on_measured(known, expected, of, drift)
        elif found and (estimate := window.estimates.get(output)) is not None:
            yield from _on_estimate(estimate, expected, of, drift)
    if found and not accuracies:
        grave = found[0].severity >= SEVERE
        harm = "Whether the answers are still right can only be told from labels."
        yield Reason(Level.RETRAIN if grave else Level.WATCH, f"{drift} {harm}")


def _on_measured(known: Measured, expected: float, of: str, drift: str) -> Iterator[Reason]:
    words = (
        f"By {known.examples} labels the accuracy{of} is {known.value:.3f} ({known.low:.3f} to {known.high:.3f}), on "
        f"the validation split it was {expected:.3f}."
    )
    if known.high < expected - MOST_LOST:
        yield Reason(Level.RETRAIN, f"{words} {drift}".strip())
    elif drift:
        yield Reason(Level.WATCH, f"{drift} It does no harm so far: {words[0].lower()}{words[1:]}")


def _on_estimate(estimate: Estimate, expected: float, of: str, drift: str) -> Iterator[Reason]:
    if estimate.value is None:
        yield Reason(
            Level.RETRAIN, f"{drift} No accuracy{of} is estimated. {estimate.reason} Label some, or train anew."
        )
        return
    words = (
        f"the accuracy{of} is estimated at {estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f}), on the "
        f"validation split it was {expected:.3f}."
    )
    if estimate.high < expected - MOST_LOST:
        yield Reason(Level.RETRAIN, f"{drift} It does harm: {words}")
    else:
        yield Reason(Level.WATCH, f"{drift} It seems to do no harm: {words}")


def _named(found: Sequence[Finding]) -> str:
    """The gravest findings, for people."""
    gravest = sorted(found, key=lambda one: -one.severity)
    shown = ", ".join(f"{one.name} (severity {one.severity:.2f})" for one in gravest[:MOST_NAMED])
    return shown + (f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else "")
