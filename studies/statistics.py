"""Means, intervals and paired tests over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

LEVEL = 0.05  # of the tests; intervals cover 1 - LEVEL
POWER = 0.8  # what the number of repeats that "would tell" is to reach (Cohen 1988, section 2.4)
MOST_REPEATS = 1000


@dataclass(frozen=True)
class Summary:
    """Of several repeats: mean, standard deviation, half-width of the mean's 95 % interval (Student's t), count.

    Spread and half-width of a single value are NaN.
    """

    mean: float
    spread: float
    half_width: float
    count: int


@dataclass(frozen=True)
class Difference:
    """How two variants differ, by a paired t-test over the seeds that both were trained with.

    Attributes:
        first: Name of one variant.
        second: Name of the other.
        mean: Of first minus second.
        half_width: Of the 95 % interval of the mean; NaN below two pairs.
        p_value: Adjusted for all comparisons of the study (Holm 1979); NaN below two pairs.
        effect: Cohen's d of paired values, mean over standard deviation (Lakens 2013, equation 6).
        count: Pairs.
    """

    first: str
    second: str
    mean: float
    half_width: float
    p_value: float
    effect: float
    count: int

    def needed(self, comparisons: int) -> int | None:
        """Pairs with which a difference as large as this one would be found in POWER of the cases, among so many
        comparisons; None above MOST_REPEATS."""
        return repeats_needed(self.effect, LEVEL / comparisons)

    @property
    def distinguishable(self) -> bool:
        return self.p_value < LEVEL


def summarize(values: Sequence[float]) -> Summary:
    """
    Raises:
        ValueError: There are no values.
    """
    if len(values) == 0:
        raise ValueError("Expected at least one value, received none.")
    count = len(values)
    if count == 1:
        return Summary(float(values[0]), math.nan, math.nan, 1)
    spread = float(np.std(values, ddof=1))
    half_width = float(stats.t.ppf(1 - LEVEL / 2, count - 1)) * spread / math.sqrt(count)
    return Summary(float(np.mean(values)), spread, half_width, count)


def difference(
    first: str, second: str, one: Mapping[int, float], other: Mapping[int, float], step: float = 0.0
) -> Difference:
    """Compares values by seed; the p-value is that of this comparison alone.

    Args:
        first: Name of one variant.
        second: Name of the other.
        one: Its values by seed.
        other: The other's.
        step: Of a scale that knows no values between, e.g. 1 for epochs. What is rounded to it has a spread of at least
            step / √12, also where all differences came out the same.

    Raises:
        ValueError: They have no seed in common.
    """
    seeds = sorted(one.keys() & other.keys())
    differences = [one[seed] - other[seed] for seed in seeds]
    summary = summarize(differences)
    if summary.count == 1:
        return Difference(first, second, summary.mean, math.nan, math.nan, math.nan, 1)
    if summary.spread < step / math.sqrt(12):
        error = step / math.sqrt(12 * summary.count)
        half_width = float(stats.t.ppf(1 - LEVEL / 2, summary.count - 1)) * error
        p_value = 2 * float(stats.t.sf(abs(summary.mean) / error, summary.count - 1))
        effect = summary.mean * math.sqrt(12) / step
        return Difference(first, second, summary.mean, half_width, p_value, effect, summary.count)
    if summary.spread < 1e-12:
        # The same difference with every seed: no spread to hold it against. The sign test still has an answer.
        p_value = min(1.0, 2 * 0.5**summary.count) if abs(summary.mean) > 1e-12 else 1.0
        effect = math.copysign(math.inf, summary.mean) if abs(summary.mean) > 1e-12 else 0.0
    else:
        p_value = float(stats.ttest_1samp(differences, 0).pvalue)
        effect = summary.mean / summary.spread
    return Difference(first, second, summary.mean, summary.half_width, p_value, effect, summary.count)


def holm(differences: Sequence[Difference]) -> list[Difference]:
    """The same comparisons with p-values adjusted for their number (Holm 1979): the chance that any two equal variants
    of the study are called different is at most LEVEL."""
    tested = sorted((d for d in differences if not math.isnan(d.p_value)), key=lambda d: d.p_value)
    adjusted: dict[tuple[str, str], float] = {}
    largest = 0.0
    for rank, one in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * one.p_value))
        adjusted[one.first, one.second] = largest
    return [replace(d, p_value=adjusted.get((d.first, d.second), d.p_value)) for d in differences]


def repeats_needed(effect: float, level: float = LEVEL) -> int | None:
    """The least number of pairs with which a paired t-test at that level finds this effect with probability POWER."""
    if effect == 0 or math.isnan(effect):
        return None
    if math.isinf(effect):
        return math.ceil(1 - math.log2(level))  # what the sign test needs
    counts = np.arange(2, MOST_REPEATS + 1)
    critical = stats.t.ppf(1 - level / 2, counts - 1)
    power = stats.nct.sf(critical, counts - 1, abs(effect) * np.sqrt(counts))
    enough = np.flatnonzero(power >= POWER)
    return int(counts[enough[0]]) if enough.size else None
