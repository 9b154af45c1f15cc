"""The accuracy of answers whose right ones nobody knows.

It is what calibrated confidence says, as far as that can be believed. How far, trials on the validation split have
shown when the profile was made: examples were made worse on purpose in many ways, and it was noted how the answers
moved, and by how much their confidence was wrong. A window is held against those trials whose answers moved as its own
do. Where none moved so, or confidence was wrong there, nothing is estimated: a network is often sure of what it has
never seen. Besides, a part of the examples may be of a kind that was in no trial. How large a part shows where more of
them than before lie off what the hidden layer knows, or where the mix of predicted labels has changed: as many answers
may be wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitoring.profile import Calibration, Profile, Trial, Window
from monitoring.reference import Reference
from served.features import DISTANCE

# Chosen with what benchmarks/monitoring.py shows of MNIST's networks with seed 1.
ALIKE = 0.1  # signatures no further apart are of answers that moved in one way
CAUTION = 1.25  # times the largest error of such trials
SLOPE = 0.2  # error added for each step from the nearest trial
WIDEST = 0.1  # half of an interval that still says something
NORMAL = 1.96  # standard deviations of a 95 % interval


@dataclass(frozen=True)
class Estimate:
    """An accuracy that nobody measured.

    Attributes:
        value: The estimate; None where it is withheld.
        low: Of the 95 % interval.
        high: Of the same.
        reason: Why it is withheld, in a sentence; else empty.
    """

    value: float | None
    low: float = 0.0
    high: float = 1.0
    reason: str = ""


def signature(confidence: Reference, hidden: Reference | None, window: Window, output: str) -> tuple[float, ...]:
    """How far the answers in a window moved: of the confidence and of the hidden layer's distance, by how much the
    shares of small values grew and shrank beyond what is to be expected, (4,) or where there is no hidden layer (2,),
    from 0 to 1."""
    moved = _moved(confidence, window.confidences[output])
    distances = window.features.get(DISTANCE)
    return moved if hidden is None or distances is None else moved + _moved(hidden, distances)


def _moved(known: Reference, values: np.ndarray) -> tuple[float, float]:
    more, fewer = known.sides(values)
    expected = known.expected(values)
    return max(0.0, more - expected), max(0.0, fewer - expected)


def estimated(profile: Profile, window: Window, output: str = "") -> Estimate:
    """The accuracy in one output of a window."""
    calibration: Calibration = profile.calibrations[output]
    confidences = window.confidences[output]
    moved = signature(profile.confidences[output], profile.features.get(DISTANCE), window, output)
    error = possible_error(moved, profile.trials[output])
    if error is None:
        return Estimate(None, reason="The answers moved as in none of the trials on the validation split.")
    error += strange_part(profile, window, output)
    value = calibration.expected(confidences)
    half = float(np.hypot(error, NORMAL * np.sqrt(value * (1 - value) / len(confidences))))
    if half > WIDEST:
        return Estimate(
            None,
            reason="Where answers move as these did, confidence may be wrong by up to "
            f"{100 * min(1, error):.0f} points, as trials on the validation split have shown.",
        )
    return Estimate(value, max(0.0, value - half), min(1.0, value + half))


def strange_part(profile: Profile, window: Window, output: str) -> float:
    """The share of examples that may be of another kind than those of the validation split, from 0 to 1."""
    moved = profile.mixes[output].severity(window.predicted[output])
    distances, known = window.features.get(DISTANCE), profile.features.get(DISTANCE)
    if known is None or distances is None:
        return moved
    _, further = _moved(known, distances)  # of a mixture it is at most the share of the others
    return max(moved, further)


def possible_error(moved: Sequence[float], trials: Sequence[Trial]) -> float | None:
    """By how much the expected accuracy may be wrong where the answers moved so; None where nobody knows."""
    known = [trial for trial in trials if len(trial.signature) == len(moved)]
    apart = [float(np.abs(np.subtract(trial.signature, moved)).max()) for trial in known]
    errors = [abs(trial.error) for trial, distance in zip(known, apart, strict=True) if distance < ALIKE]
    return CAUTION * max(errors) + SLOPE * min(apart) if errors else None
