"""Whether a window of served examples is what the validation split was.

Every feature is compared by the test of Kolmogorov and Smirnov, the mix of predicted labels by Pearson's, and the
probabilities of all are multiplied by the number of tests (Bonferroni), so that of windows without drift no more than
the level alarm, however many features there are. Rabanser et al. (2019, "Failing Loudly", section 3) compare such ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitoring.profile import Profile, Window
from monitoring.reference import Mix, Reference

LEVEL = 0.05  # the share of false alarms
LEAST_EXAMPLES = 25  # of a feature, for it to be compared
PREDICTED, CONFIDENCE = "predicted labels", "confidence"


@dataclass(frozen=True)
class Finding:
    """One number in a window.

    Attributes:
        name: Of the feature, or what it says of an output.
        distance: From the validation split, 0 to 1.
        severity: The same without what chance and likeness of neighbours make of it.
        probability: The p-value, corrected for all that were compared.
    """

    name: str
    distance: float
    severity: float
    probability: float


def findings(profile: Profile, window: Window) -> list[Finding]:
    """All numbers that can be compared, those that are the least likely to be chance first."""
    compared: list[tuple[str, Reference | Mix, np.ndarray]] = [
        *((name, profile.features[name], values) for name, values in window.features.items()),
        *((of(name, CONFIDENCE), profile.confidences[name], values) for name, values in window.confidences.items()),
        *((of(name, PREDICTED), profile.mixes[name], values) for name, values in window.predicted.items()),
    ]
    enough = [one for one in compared if len(one[2]) >= LEAST_EXAMPLES]
    found = [
        Finding(name, known.distance(values), known.severity(values), min(1, len(enough) * known.probability(values)))
        for name, known, values in enough
    ]
    return sorted(found, key=lambda one: (one.probability, -one.severity))


def alarms(found: Sequence[Finding], level: float = LEVEL) -> list[Finding]:
    """Those that are no chance."""
    return [one for one in found if one.probability <= level]


def of(output: str, what: str) -> str:
    """What is said of an output, whose name is empty where there is one."""
    return f"{output}: {what}" if output else what
