"""A span of time in which a version answered: what was recorded of it, held against the version's profile."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from monitoring.drift import Finding, findings
from monitoring.estimate import NORMAL, Estimate, estimated
from monitoring.profile import Profile, Window
from monitoring.record import Traffic
from served.features import ANSWER

PREDICTION, REFUSAL = "prediction", "refusal"
QUANTILES = (0.5, 0.95, 0.99)  # of the time to answer
LEAST_LABELS = 30  # that an accuracy is measured with


@dataclass(frozen=True)
class Measured:
    """An accuracy where right answers have become known, with its 95 % interval (Wilson 1927); or of numbers their mean
    absolute error, whose interval is that of a mean.

    Attributes:
        value: The share of right answers, or the error.
        low: Of the interval.
        high: Of the same.
        examples: How many right answers are known.
    """

    value: float
    low: float
    high: float
    examples: int


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
    result = Watched(source, begin, end, len(first), refusals["kind"].value_counts().to_dict(), seconds)
    if profile is None or not len(first):
        return result
    outputs = {name: part for name, part in by_output.items() if name in profile.labels}
    given = traffic.features.get(source, {}) | {ANSWER: first["value"].to_numpy(np.float32)}  # of no label
    window = Window(
        features={name: one[np.isfinite(one)] for name, one in given.items() if name in profile.features},
        predicted={name: part["label"].to_numpy(int) for name, part in outputs.items()},
        confidences={name: part["confidence"].to_numpy(np.float32) for name, part in outputs.items()},
    )
    errors = {name: measured_error(by_output[name], labels) for name in profile.errors if name in by_output}
    known = {name: measured(part, profile.labels[name], labels) for name, part in outputs.items()}
    return Watched(
        *(result.source, result.begin, result.end, result.items, result.refused, result.seconds),
        mix={name: _mix(part, profile.labels[name]) for name, part in outputs.items()},
        confidence={name: float(values.mean()) for name, values in window.confidences.items()},
        findings=tuple(findings(profile, window)),
        estimates={name: estimated(profile, window, name) for name in outputs},
        measured={name: one for name, one in known.items() if one is not None},
        errors={name: one for name, one in errors.items() if one is not None},
    )


def measured(rows: pd.DataFrame, names: list[str], labels: Mapping[str, str]) -> Measured | None:
    """The accuracy of those rows whose right answers are known; None where these are too few."""
    right = rows["id"].map(labels)
    known = right.notna()
    if known.sum() < LEAST_LABELS:
        return None
    predicted = rows["label"][known].astype(int).map(dict(enumerate(names)))
    hits = int((predicted == right[known]).sum())
    test = binomtest(hits, int(known.sum()))
    interval = test.proportion_ci(method="wilson")
    return Measured(float(test.statistic), float(interval.low), float(interval.high), int(known.sum()))


def measured_error(rows: pd.DataFrame, labels: Mapping[str, str]) -> Measured | None:
    """The mean absolute error of those rows whose right numbers are known; None where these are too few."""
    right = pd.to_numeric(rows["id"].map(labels), errors="coerce")
    errors = (rows["value"].astype(float) - right).abs().dropna()
    if len(errors) < LEAST_LABELS:
        return None
    mean, half = float(errors.mean()), float(NORMAL * errors.std() / np.sqrt(len(errors)))
    return Measured(mean, max(0.0, mean - half), mean + half, len(errors))


def _mix(rows: pd.DataFrame, names: list[str]) -> dict[str, float]:
    shares = np.bincount(rows["label"].to_numpy(int), minlength=len(names)) / len(rows)
    return dict(zip(names, shares.tolist(), strict=True))
