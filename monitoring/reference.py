"""What one number was like on the validation split, and how far that of other examples is from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import kolmogorov
from scipy.stats import chi2

PLACES = 200  # at which a distribution is known
BLOCKS = 10  # of neighbours, that the validation split is taken for
MEAN_SQUARE = np.pi**2 / 12  # of Kolmogorov's distribution
DIGITS = 6  # that a number is kept with


@dataclass(frozen=True)
class Reference:
    """The distribution of a number on the validation split.

    Neighbours in a data set are often alike: digits of one writer, rows of one day. A window of served examples is
    alike in that way, too, so its distribution differs by more than chance would have it. How much the blocks of the
    validation split do so is a variance that is added to that of chance: the design effect of Kish (1965, "Survey
    Sampling", chapter 5), for distributions.

    Attributes:
        places: Values, ascending, float32 as the features are.
        shares: Of the examples whose value is at most that.
        examples: How many there were.
        variance: What blocks of neighbours add to the squared distance, in units of that of chance.
    """

    places: np.ndarray
    shares: np.ndarray
    examples: int
    variance: float

    @classmethod
    def of(cls, values: np.ndarray) -> Reference:
        """That of the validation examples (N,), in their order."""
        blocks = np.array_split(values, min(BLOCKS, len(values)))
        excess = []
        for place, block in enumerate(blocks):
            rest = np.concatenate([*blocks[:place], *blocks[place + 1 :]])
            if len(rest):
                chance = 1 / len(block) + 1 / len(rest)
                excess.append(_distribution(rest, 0.0).distance(block) ** 2 / MEAN_SQUARE - chance)
        return _distribution(values, max(0.0, float(np.mean(excess))) if excess else 0.0)

    def sides(self, values: np.ndarray) -> tuple[float, float]:
        """By how much the share of small values among these (n,) is larger than it was, at most; and by how much
        smaller. Both from 0 to 1."""
        found = np.searchsorted(np.sort(values.astype(np.float32)), self.places, side="right") / len(values)
        difference = found - self.shares
        return max(0.0, float(difference.max())), max(0.0, float(-difference.min()))

    def distance(self, values: np.ndarray) -> float:
        """That of Kolmogorov and Smirnov, from 0 to 1."""
        return max(self.sides(values))

    def severity(self, values: np.ndarray) -> float:
        """The distance without the part of it which is to be expected by chance and because neighbours are alike."""
        return float(np.sqrt(max(0.0, self.distance(values) ** 2 - self.expected(values) ** 2)))

    def expected(self, values: np.ndarray) -> float:
        """The distance that is to be expected of so many examples that are what the validation split is (its root mean
        square)."""
        return float(np.sqrt(MEAN_SQUARE) * self._scale(values))

    def probability(self, values: np.ndarray) -> float:
        """Of a distance as large as theirs, were they what the validation split is: the p-value."""
        return float(kolmogorov(self.distance(values) / self._scale(values)))

    def _scale(self, values: np.ndarray) -> float:
        """What distances of so many values are in proportion to."""
        return float(np.sqrt(1 / len(values) + 1 / self.examples + self.variance))

    def to_json(self) -> dict[str, Any]:
        return {
            "places": [float(str(value)) for value in self.places],  # as short as it is exact
            "shares": self.shares.round(DIGITS).tolist(),
            "examples": self.examples,
            "variance": round(self.variance, 2 * DIGITS),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Reference:
        places, shares = np.array(values["places"], np.float32), np.array(values["shares"])
        return cls(places, shares, values["examples"], values["variance"])


def _distribution(values: np.ndarray, variance: float) -> Reference:
    values = np.sort(values.astype(np.float32))
    ranks = np.unique(np.linspace(0, len(values) - 1, PLACES + 1).round().astype(int))
    places = np.unique(values[ranks])
    return Reference(places, np.searchsorted(values, places, side="right") / len(values), len(values), variance)


@dataclass(frozen=True)
class Mix:
    """How many examples of the validation split got each label.

    Attributes:
        counts: By the place of the label.
        variance: What blocks of neighbours add to the squared distance, as in Reference.
    """

    counts: np.ndarray
    variance: float

    @classmethod
    def of(cls, predicted: np.ndarray, labels: int) -> Mix:
        """That of predicted labels' places (N,), in the order of the validation split."""
        blocks = [np.bincount(block, minlength=labels) for block in np.array_split(predicted, BLOCKS) if len(block)]
        total = np.bincount(predicted, minlength=labels)
        excess = []
        for block in blocks:
            rest = total - block
            if rest.sum():
                expected = (labels - 1) * (1 / block.sum() + 1 / rest.sum())
                excess.append((_unlike(block, rest) - expected) / max(1, labels - 1))
        return cls(total, max(0.0, float(np.mean(excess))) if excess else 0.0)

    def probability(self, predicted: np.ndarray) -> float:
        """The p-value of these labels' places (n,)."""
        labels = len(self.counts)
        if labels < 2:
            return 1.0
        found = np.bincount(predicted, minlength=labels)
        scale = 1 / found.sum() + 1 / self.counts.sum() + self.variance
        return float(chi2.sf(_unlike(found, self.counts) / scale, labels - 1))

    def distance(self, predicted: np.ndarray) -> float:
        """The share of examples that would need another label for the two mixes to be one, from 0 to 1."""
        found = np.bincount(predicted, minlength=len(self.counts)) / len(predicted)
        return float(np.abs(found - self.counts / self.counts.sum()).sum() / 2)

    def severity(self, predicted: np.ndarray) -> float:
        """That share without the part of it which is to be expected by chance and because neighbours are alike."""
        shares = self.counts / self.counts.sum()
        scale = 1 / len(predicted) + 1 / self.counts.sum() + self.variance
        expected = np.sqrt(2 / np.pi * shares * (1 - shares) * scale).sum() / 2  # of the absolute value of normals
        return max(0.0, self.distance(predicted) - float(expected))


def _unlike(some: np.ndarray, others: np.ndarray) -> float:
    """Pearson's statistic of two vectors of counts, divided by what it grows with."""
    both = (some + others) / (some.sum() + others.sum())
    seen = both > 0
    difference = (some / some.sum() - others / others.sum())[seen]
    return float((difference**2 / both[seen]).sum())
