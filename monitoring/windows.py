"""A span of time in which a version answered: what was recorded of it, held against the version's profile."""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.stats import binomtest, ks_2samp

from monitoring.drift import Finding, findings
from monitoring.estimate import NORMAL, Estimate, estimated
from monitoring.files import warn_once
from monitoring.profile import Profile, Window
from monitoring.record import Traffic
from served.features import ANSWER

PREDICTION, REFUSAL = "prediction", "refusal"
QUANTILES = (0.5, 0.95, 0.99)  # of the time to answer
LEAST_LABELS = 30  # that an accuracy is measured with
UNLIKELY = 0.001  # the probability below which labelled items are none that were drawn at random
MOST_NAMES, MOST_CHARACTERS = 3, 40  # of labels, and of one, in a sentence


@dataclass(frozen=True)
class Measured:
    """An accuracy where right answers have become known, with its 95 % interval (Wilson 1927); or of numbers their mean
    absolute error, whose interval is that of a mean.

    Attributes:
        value: The share of right answers, or the error.
        low: Of the interval.
        high: Of the same.
        examples: How many right answers are known.
        is_fair: Whether these items are answered as the others of the window are. Labels of its first half say nothing
            of what has come since.
    """

    value: float
    low: float
    high: float
    examples: int
    is_fair: bool = True


@dataclass(frozen=True)
class Unknown:
    """Labels that the model cannot answer with. They are no wrong answers of it: more often they are spelt another way.

    Attributes:
        count: How many items have such a label.
        example: The most frequent one.
        expected: What the model answers with, in words.
    """

    count: int
    example: str
    expected: str


@dataclass(frozen=True)
class Watched:
    """What one version did in one window.

    Attributes:
        source: The version, as models:/<name>/<number>.
        begin: Of the window, in seconds since 1970.
        end: Of the same.
        items: That were answered.
        refused: Requests without an answer, by the reason.
        seconds: Quantiles of the time to answer, as in QUANTILES; none where nothing was answered.
        mix: Shares of the predicted labels by name, by the name of the output.
        confidence: The mean, by the name of the output.
        findings: Compared with the profile; none where the version has none, or there is too little.
        estimates: Of the accuracy without labels, by the name of the output.
        measured: Accuracies where labels are known, by the name of the output.
        errors: Mean absolute errors where right numbers are known, by the name of the output.
        last: When the latest request was answered or refused, in seconds since 1970.
        labelled: The ids of items of which there are labels.
        unknown: Labels that are none of the model's; None where there is no such label.
    """

    source: str
    begin: float
    end: float
    items: int
    refused: Mapping[str, int]
    seconds: tuple[float, ...] = ()
    mix: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    confidence: Mapping[str, float] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    measured: Mapping[str, Measured] = field(default_factory=dict)
    errors: Mapping[str, Measured] = field(default_factory=dict)
    last: float = 0.0
    labelled: frozenset[str] = frozenset()
    unknown: Unknown | None = None

    @property
    def failed(self) -> int:
        """Requests that the model was to blame for."""
        return self.refused.get("internal", 0)

    @property
    def when(self) -> str:
        """From when to when, in UTC; the day of the end where that is another one."""
        begin, end = (datetime.datetime.fromtimestamp(one, datetime.UTC) for one in (self.begin, self.end))
        same_day = begin.date() == end.date()
        return f"{begin:%d %b %H:%M} to {end:{'%H:%M' if same_day else '%d %b %H:%M'}}"

    @property
    def load(self) -> float:
        """Items a second."""
        return self.items / (self.end - self.begin)


def watched(
    traffic: Traffic, source: str, begin: float, end: float, profile: Profile | None, labels: Mapping[str, str]
) -> Watched:
    """What a version did in a window.

    Args:
        traffic: What was recorded in it.
        source: The version.
        begin: Of the window.
        end: Of the same.
        profile: The version's; None where it has none that is known.
        labels: Right answers by the id of the item, as names of labels.
    """
    rows = traffic.rows[traffic.rows["source"] == source]
    answers, refusals = rows[rows["type"] == PREDICTION], rows[rows["type"] == REFUSAL]
    by_output = {str(output): part for output, part in answers.groupby("output")}
    first = next(iter(by_output.values()), answers)
    seconds = tuple(first["seconds"].quantile(QUANTILES)) if len(first) else ()
    labelled = frozenset(first["id"]).intersection(labels)
    refused = refusals["kind"].value_counts().to_dict()
    last = float(rows["time"].max())
    result = Watched(source, begin, end, len(first), refused, seconds, labelled=labelled, last=last)
    if profile is None or not len(first):
        return result
    counted = {name: part for name, part in by_output.items() if name in profile.labels}
    placed = {name: _with_place(part, source, profile.labels[name]) for name, part in counted.items()}
    outputs = {name: part for name, part in placed.items() if len(part)}
    given = traffic.features.get(source, {}) | {ANSWER: first["value"].to_numpy(np.float32)}  # of no label
    window = Window(
        features={name: one[np.isfinite(one)] for name, one in given.items() if name in profile.features},
        predicted={name: part["label"].to_numpy(int) for name, part in outputs.items()},
        confidences={name: part["confidence"].to_numpy(np.float32) for name, part in outputs.items()},
    )
    errors = {name: measured_error(by_output[name], labels) for name in profile.errors if name in by_output}
    known = {name: measured(part, profile.labels[name], labels) for name, part in outputs.items()}
    return dataclasses.replace(
        result,
        mix={name: _mix(part, profile.labels[name]) for name, part in outputs.items()},
        confidence={name: float(values.mean()) for name, values in window.confidences.items()},
        findings=tuple(findings(profile, window)),
        estimates={name: estimated(profile, window, name) for name in outputs},
        measured={name: one for name, one in known.items() if one is not None},
        errors={name: one for name, one in errors.items() if one is not None},
        unknown=unknown([labels[one] for one in first["id"] if one in labels], profile),
    )


def measured(rows: pd.DataFrame, names: list[str], labels: Mapping[str, str]) -> Measured | None:
    """The accuracy of those rows whose right answers are known, and are labels of the model's; None where these are too
    few."""
    right = rows["id"].map(labels).map(spelling(names), na_action="ignore")
    known = right.notna()
    if known.sum() < LEAST_LABELS:
        return None
    predicted = rows["label"][known].astype(int).map(dict(enumerate(names)))
    hits = int((predicted == right[known]).sum())
    test = binomtest(hits, int(known.sum()))
    interval = test.proportion_ci(method="wilson")
    limits = float(interval.low), float(interval.high)
    return Measured(float(test.statistic), *limits, int(known.sum()), _is_fair(rows["confidence"], known))


def measured_error(rows: pd.DataFrame, labels: Mapping[str, str]) -> Measured | None:
    """The mean absolute error of those rows whose right numbers are known and finite; None where these are too few."""
    right = rows["id"].map(labels).map(number, na_action="ignore").astype(float)
    errors = (rows["value"].astype(float) - right).abs()
    known = np.isfinite(errors)
    errors = errors[known]
    if len(errors) < LEAST_LABELS:
        return None
    mean, half = float(errors.mean()), float(NORMAL * errors.std() / np.sqrt(len(errors)))
    return Measured(mean, max(0.0, mean - half), mean + half, len(errors), _is_fair(rows["value"], known))


def _is_fair(answers: pd.Series, known: pd.Series) -> bool:
    """Whether answers to labelled items are distributed as the others are, by the test of Kolmogorov and Smirnov."""
    answers = answers.astype(float)
    if (~known).sum() < LEAST_LABELS:
        return True
    return bool(ks_2samp(answers[known], answers[~known]).pvalue >= UNLIKELY)


def unknown(given: Collection[str], profile: Profile) -> Unknown | None:
    """The labels that no output of the model's can answer with. A label does not say which of several outputs it is of,
    so it need fit but one.

    Args:
        given: The labels of all items in the window.
        profile: The version's.
    """
    readers: list[Callable[[str], object]] = [spelling(names) for names in profile.labels.values()]
    readers += [number] if profile.errors else []
    strange = Counter(label for label in given if all(reader(label) is None for reader in readers))
    if not strange or not readers:  # where there are none, answers are pictures
        return None
    names = list(dict.fromkeys(name for of in profile.labels.values() for name in of))
    expected = [", ".join(map(_short, names[:MOST_NAMES]))] if names else []
    expected += [f"{len(names) - MOST_NAMES} more"] if len(names) > MOST_NAMES else []
    expected += ["finite numbers"] if profile.errors else []
    return Unknown(strange.total(), _short(strange.most_common(1)[0][0]), " and ".join(expected))


def spelling(names: Collection[str]) -> Callable[[str], str | None]:
    """What finds the name that a label means, or None. A whole number may be written 7.0: pandas does as soon as one
    label of a column is missing."""
    known = frozenset(names)

    def named(label: str) -> str | None:
        whole = label.removesuffix(".0")
        others = (whole, f"{whole}.0") if whole.removeprefix("-").isdecimal() else ()
        return next((one for one in (label, *others) if one in known), None)

    return named


def number(label: str) -> float | None:
    """The finite number that a label is, or None."""
    try:
        value = float(label)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _short(label: str) -> str:
    return repr(label if len(label) <= MOST_CHARACTERS else f"{label[:MOST_CHARACTERS]}…")


def _with_place(rows: pd.DataFrame, source: str, names: list[str]) -> pd.DataFrame:
    """The rows whose label is one of the model's."""
    places = rows["label"].between(0, len(names) - 1)
    if not places.all():
        warn_once(
            f"Answers are left out that are recorded of {source} with a label at another place than 0 to "
            f"{len(names) - 1}, where it has names."
        )
    return rows[places]


def _mix(rows: pd.DataFrame, names: list[str]) -> dict[str, float]:
    shares = np.bincount(rows["label"].to_numpy(int), minlength=len(names)) / len(rows)
    return dict(zip(names, shares.tolist(), strict=True))
