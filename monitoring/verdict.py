"""What follows from what was watched: nothing, a closer look, or another training. A pure decision, told in
sentences."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from monitoring.drift import LEAST_EXAMPLES, LEVEL, Finding, alarms
from monitoring.estimate import Estimate
from monitoring.windows import Measured, Unknown, Watched

MOST_FAILED = 0.01  # the share of requests that the model may fail
MOST_REFUSED = 0.1  # the share that may be refused; more tell of a client, or of a world, that is new
MOST_LOST = 0.02  # what accuracy may fall below that on the validation split, as a share of 1
MOST_MORE = 0.1  # what a mean absolute error may grow by, as a share of that on the validation split
SEVERE = 0.25  # a severity from which drift of answers that nobody can judge is no trifle
MOST_NAMED = 3  # findings in a sentence
HANDOVER_SECONDS = 60.0  # after a champion was set, in which the one before may answer still
GONE_SECONDS = 3600.0  # a version that is not the champion and has answered nothing for so long no longer does


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
        kind: Of what was seen. Of windows in which the same was seen, the latest is told.
    """

    level: Level
    sentence: str
    when: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Verdict:
    """What to do, and all that was seen: the gravest first, and of equal ones the latest."""

    level: Level
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class Expected:
    """What is known of a version.

    Attributes:
        accuracies: On the validation split, by the name of the output.
        errors: Mean absolute errors of numbers there, by the name of the output.
        bound_ms: That a request may take.
        rehearsed_ms: That one took when the version was rehearsed; None where that is not known.
        incomparable: Why nothing can be compared with what it was validated on; empty where it can.
    """

    accuracies: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)
    bound_ms: float = math.inf
    rehearsed_ms: float | None = None
    incomparable: str = ""


@dataclass(frozen=True)
class Champion:
    """The version that ought to answer.

    Attributes:
        source: As models:/<name>/<number>.
        since: When it was set, in seconds since 1970; None where that is not known.
    """

    source: str
    since: float | None = None


def corrected(windows: Sequence[Watched]) -> list[Watched]:
    """The windows, whose findings take into account that there are several windows: of reports without drift no more
    than the level have an alarm."""
    compared = max(1, sum(bool(one.findings) for one in windows))

    def of(one: Finding) -> Finding:
        return dataclasses.replace(one, probability=min(1.0, compared * one.probability))

    return [dataclasses.replace(one, findings=tuple(map(of, one.findings))) for one in windows]


def decide(
    windows: Sequence[Watched],
    known: Mapping[str, Expected],
    champion: Champion | None = None,
    others: Collection[str] = (),
    level: float = LEVEL,
) -> Verdict:
    """The verdict on windows in their order, the latest last.

    Another training is for the champion alone. Of a version that answers in its place it is told who ought to be there.

    Args:
        windows: Those that `corrected` gives, of versions that are `current`.
        known: What is known of the versions, by source.
        champion: None where there is none: then every version counts alike.
        others: Whose traffic is recorded besides.
        level: Of false alarms.
    """
    found: list[tuple[Watched, Reason]] = []
    for window in reversed(windows):
        reasons = _reasons(window, known.get(window.source, Expected()), level)
        if champion is None or window.source == champion.source:
            found.extend((window, reason) for reason in reasons)
        else:
            place = f"It answers, and is not the champion: put {champion.source} in its place."
            found.append((window, Reason(Level.WATCH, place, kind="place")))
            found.extend((window, dataclasses.replace(one, level=min(one.level, Level.WATCH))) for one in reasons)
    told = list(_together(found)) or [_on_all(windows, champion, others)]
    told.sort(key=lambda reason: -reason.level)
    return Verdict(told[0].level, tuple(told))


def current(windows: Sequence[Watched], champion: Champion | None, now: float) -> list[Watched]:
    """The windows of the champion, and of versions that answer in its place. What others did before is history.

    Args:
        windows: Of all versions.
        champion: None where there is none: then no version took another one's place.
        now: In seconds since 1970.
    """
    if champion is None:
        return list(windows)
    lasts: dict[str, float] = {}
    for one in windows:
        lasts[one.source] = max(one.last, lasts.get(one.source, 0.0))
    since = max(now - GONE_SECONDS, (champion.since or 0.0) + HANDOVER_SECONDS)
    return [one for one in windows if one.source == champion.source or lasts[one.source] >= since]


def _on_all(windows: Sequence[Watched], champion: Champion | None, others: Collection[str]) -> Reason:
    """What is said where nothing stands out."""
    if any(one.findings or one.measured or one.errors for one in windows):
        sentence = "What was served is what the model was validated on, and it is answered as then."
        return Reason(Level.FINE, sentence)
    if windows:
        sentence = f"Nothing could be compared: no window has {LEAST_EXAMPLES} answers. Look at longer windows."
    elif others:
        whom = f"{champion.source}, the champion" if champion else "this task"
        sentence = f"Nothing was recorded of {whom}, but of {', '.join(sorted(others)[:MOST_NAMED])}."
    else:
        sentence = "Nothing was served, or nothing was recorded of it."
    return Reason(Level.WATCH, sentence)


def with_labels(verdict: Verdict, windows: Sequence[Watched], labels: int) -> Verdict:
    """The verdict, which also says how many of the labels in the record are of items that were answered in these
    windows: else nobody would see that ids match nothing. It asks for nothing, since others may be of earlier items."""
    if not labels:
        return verdict
    matched = len(frozenset[str]().union(*(one.labelled for one in windows)))
    words = f"Of {labels} label{'s' * (labels > 1)} in the record, {matched} {'is' if matched == 1 else 'are'} of items"
    note = Reason(Level.FINE, f"{words} that were answered in this time.", kind="joined")
    return dataclasses.replace(verdict, reasons=(*verdict.reasons, note))


def _together(found: Sequence[tuple[Watched, Reason]]) -> Iterator[Reason]:
    """One reason for all windows in which the same was seen, in the words of the first of these."""
    alike: dict[tuple[str, Level, str], list[tuple[Watched, Reason]]] = {}
    for window, reason in found:
        alike.setdefault((window.source, reason.level, reason.kind), []).append((window, reason))
    for (window, reason), *others in alike.values():
        earlier = f", and {len(others)} earlier window{'s' * (len(others) > 1)}" if others else ""
        yield dataclasses.replace(reason, when=f"{window.when} UTC, {window.source}{earlier}")


def _reasons(window: Watched, known: Expected, level: float) -> Iterator[Reason]:
    yield from _on_operation(window, known)
    if known.incomparable:
        yield Reason(Level.WATCH, f"Nothing can be compared: {known.incomparable}.", kind="incomparable")
    if window.unknown is not None:
        yield _on_unknown(window.unknown)
    found = alarms(window.findings, level)
    drift = f"Drift: {_named(found)}." if found else ""
    for output, expected in known.accuracies.items():
        if (measured := window.measured.get(output)) is not None:
            yield from _on_measured(measured, expected, _of(output), drift)
        is_judged = measured is not None and measured.is_fair
        if found and not is_judged and (estimate := window.estimates.get(output)) is not None:
            yield from _on_estimate(estimate, expected, _of(output), drift)
    for output, expected in known.errors.items():
        if (measured := window.errors.get(output)) is not None:
            yield from _on_error(measured, expected, _of(output), drift)
    if found and not known.accuracies and not any(error.is_fair for error in window.errors.values()):
        grave = found[0].severity >= SEVERE
        harm = "Whether the answers are still right can only be told from labels."
        yield Reason(Level.RETRAIN if grave else Level.WATCH, f"{drift} {harm}", kind="drift")


def _on_unknown(labels: Unknown) -> Reason:
    what = "1 label is" if labels.count == 1 else f"{labels.count} labels are"
    words = f"{what} none of the model's, e.g. {labels.example}; it has {labels.expected}."
    return Reason(Level.WATCH, words, kind="labels")


def _of(output: str) -> str:
    return f" of {output}" if output else ""


def _on_operation(window: Watched, known: Expected) -> Iterator[Reason]:
    requests = window.items + sum(window.refused.values())
    if requests and window.failed > MOST_FAILED * requests:
        share = 100 * window.failed / requests
        yield Reason(
            Level.WATCH, f"The model failed {window.failed} of {requests} requests ({share:.1f} %).", kind="failures"
        )
    refused = sum(window.refused.values()) - window.failed
    if requests >= LEAST_EXAMPLES and refused > MOST_REFUSED * requests:
        kinds = sorted((kind for kind in window.refused if kind != "internal"), key=lambda kind: -window.refused[kind])
        yield Reason(
            Level.WATCH,
            f"{refused} of {requests} requests were refused ({100 * refused / requests:.0f} %), most of them for "
            f"{kinds[0]!r}.",
            kind="refusals",
        )
    if window.seconds and 1000 * window.seconds[0] > known.bound_ms:
        rehearsed = (
            "" if known.rehearsed_ms is None else f"; when it was rehearsed, one took {known.rehearsed_ms:.1f} ms"
        )
        yield Reason(
            Level.WATCH,
            f"Half of the requests took more than {1000 * window.seconds[0]:.0f} ms, the bound is {known.bound_ms:g} ms"
            f"{rehearsed}.",
            kind="slow",
        )


def _on_measured(known: Measured, expected: float, of: str, drift: str) -> Iterator[Reason]:
    words = (
        f"By {known.examples} labels the accuracy{of} is {known.value:.3f} ({known.low:.3f} to {known.high:.3f}), on "
        f"the validation split it was {expected:.3f}."
    )
    yield from _on_labels(known, known.high < expected - MOST_LOST, words, of, drift)


def _on_error(known: Measured, expected: float, of: str, drift: str) -> Iterator[Reason]:
    words = (
        f"By {known.examples} labels the mean absolute error{of} is {known.value:.4g} ({known.low:.4g} to "
        f"{known.high:.4g}), on the validation split it was {expected:.4g}."
    )
    yield from _on_labels(known, known.low > (1 + MOST_MORE) * expected, words, of, drift)


def _on_labels(known: Measured, is_worse: bool, words: str, of: str, drift: str) -> Iterator[Reason]:
    """What follows from right answers, which `words` tell of: of items that were chosen, nothing for the others."""
    if not known.is_fair:
        if is_worse or drift:
            chosen = "The items with labels are answered unlike the others, of which it says nothing."
            yield Reason(Level.WATCH, f"{words} {chosen}", kind=f"chosen{of}")
    elif is_worse:
        yield Reason(Level.RETRAIN, f"{words} {drift}".strip(), kind=f"measured{of}")
    elif drift:
        harmless = f"{drift} It does no harm so far: {words[0].lower()}{words[1:]}"
        yield Reason(Level.WATCH, harmless, kind=f"harmless{of}")


def _on_estimate(estimate: Estimate, expected: float, of: str, drift: str) -> Iterator[Reason]:
    if estimate.value is None:
        yield Reason(
            Level.RETRAIN,
            f"{drift} No accuracy{of} is estimated. {estimate.reason} Label some, or train anew.",
            kind=f"withheld{of}",
        )
        return
    words = (
        f"the accuracy{of} is estimated at {estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f}), on the "
        f"validation split it was {expected:.3f}."
    )
    if estimate.high < expected - MOST_LOST:
        yield Reason(Level.RETRAIN, f"{drift} It does harm: {words}", kind=f"estimated{of}")
    else:
        yield Reason(Level.WATCH, f"{drift} It seems to do no harm: {words}", kind=f"estimated{of}")


def _named(found: Sequence[Finding]) -> str:
    """The gravest findings, for people."""
    gravest = sorted(found, key=lambda one: -one.severity)
    shown = ", ".join(f"{one.name} (severity {one.severity:.2f})" for one in gravest[:MOST_NAMED])
    return shown + (f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else "")
