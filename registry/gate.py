"""The gate: may this candidate replace the champion? Pure statistics over per-example scores, no tracking store."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from tasks.contract import Primary, Scores

CONFIDENCE = 0.95
RESAMPLES = 2_000
MOST_DRAWN = 2**22  # numbers drawn at once, of 8 bytes each
# A slice is broken when it is worse beyond chance (over all slices together) and by more than so many margins.
SLICE_MARGINS = 5


@dataclass(frozen=True)
class Verdict:
    """The decision and why.

    Attributes:
        promote: Whether the alias may move.
        reason: One or two sentences with the numbers, for people.
        figures: The numbers by name, for the ledger.
    """

    promote: bool
    reason: str
    figures: dict[str, float]


@dataclass(frozen=True)
class SliceLoss:
    """How one slice fares: candidate minus champion, in units of the primary metric, positive is better."""

    name: str
    difference: float
    p_value: float
    examples: int


@dataclass(frozen=True)
class FormerChampion:
    """The best of the champions before the present one.

    Attributes:
        version: Of the registered model.
        scores: Its scores on the same examples as the candidate's, in the same order.
    """

    version: str
    scores: Scores


@dataclass(frozen=True)
class Comparison:
    """A candidate and another model on the same examples.

    Attributes:
        candidate: The candidate's primary metric.
        other: The other model's.
        difference: Mean of the paired differences, positive where the candidate is better.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p_value: How likely so large a difference is if neither is better.
    """

    candidate: float
    other: float
    difference: float
    low: float
    high: float
    p_value: float

    def figures(self, other: str, prefix: str = "") -> dict[str, float]:
        """The numbers by name, for the ledger; `other` is what the other model is called."""
        return {
            other: self.other,
            f"{prefix}difference": self.difference,
            f"{prefix}difference_low": self.low,
            f"{prefix}difference_high": self.high,
            f"{prefix}p_value": self.p_value,
        }

    def in_words(self, primary: Primary) -> str:
        """The numbers for people."""
        return (
            f"{primary.name} {self.candidate:.4f} against {self.other:.4f}, {_in_words(self.difference)} (95 % "
            f"interval of the difference {self.low:+z.4f} to {self.high:+z.4f}, p = {self.p_value:.2g})"
        )


def decide(
    primary: Primary, candidate: Scores, champion: Scores | None, former: FormerChampion | None = None
) -> Verdict:
    """Judges a candidate by its scores and those of champions on the same examples.

    It has to reach the absolute floor; to be no worse than the champion overall, which is to say that the lower end of
    the 95 % interval of the paired difference lies above minus the margin (non-inferiority, Piaggio et al. 2012); to be
    broken on no slice; and to be no worse than the best champion before the present one. Otherwise each promotion could
    lose almost a margin, and many of them any amount.

    Args:
        primary: Names the metric, its floor and its margin.
        candidate: Scores of the candidate.
        champion: Scores of the champion on the same examples in the same order; None where there is no champion.
        former: The best of the champions before the present one; None where there is none. It counts where it is better
            than the present one.

    Raises:
        ValueError: They were not scored on the same examples.
    """
    value = float(candidate.score.mean())
    figures = {"candidate": value}
    if not _reaches(primary, value):
        bound = "misses the floor: at least" if primary.higher_is_better else "is too high: at most"
        reason = f"Its {primary.name} of {value:.4f} {bound} {primary.floor:.4f} is asked for."
        return Verdict(False, reason, figures)
    if champion is None:
        reached = "reaches the floor" if primary.higher_is_better else f"stays below the bound of {primary.floor:.4f}"
        reason = f"There was no champion to compare with, and its {primary.name} of {value:.4f} {reached}."
        verdict = Verdict(True, reason, figures)
    else:
        verdict = _against_champion(primary, candidate, champion)
    if verdict.promote and former and (champion is None or _is_better(primary, former.scores, champion)):
        return _against_former(primary, candidate, former, verdict)
    return verdict


def _against_champion(primary: Primary, candidate: Scores, champion: Scores) -> Verdict:
    """The verdict on a candidate that reaches the floor."""
    gain = _gain(primary, candidate, champion)
    found = _compared(candidate, champion, gain)
    losses = slice_losses(gain, champion.slice, _groups(candidate, champion))
    worst = min(losses, key=lambda loss: loss.difference)
    figures = {
        "candidate": found.candidate,
        **found.figures("champion"),
        "worst_slice_difference": worst.difference,
        "worst_slice_p_value": worst.p_value,
    }
    numbers = found.in_words(primary)
    no_worse = found.low > -primary.margin
    if not no_worse and found.high < 0:
        return Verdict(False, f"Worse: {numbers}.", figures)
    for loss in losses:
        if loss.p_value < 1 - CONFIDENCE and loss.difference < -SLICE_MARGINS * primary.margin:
            where = f"{-loss.difference:.4f} worse there ({loss.examples} examples, p = {loss.p_value:.2g})"
            return Verdict(False, f"It is broken on {loss.name!r}: {where}. Overall: {numbers}.", figures)
    if found.low > 0:
        return Verdict(True, f"Better: {numbers}.", figures)
    if no_worse:
        return Verdict(True, f"No worse: {numbers}; a loss of {primary.margin:.4f} is the margin.", figures)
    return Verdict(False, f"Not shown to be no worse: {numbers}; {_doubt(primary)}.", figures)


def _against_former(primary: Primary, candidate: Scores, former: FormerChampion, verdict: Verdict) -> Verdict:
    """The verdict on a candidate that may replace the champion, or that has none to replace."""
    found = _compared(candidate, former.scores, _gain(primary, candidate, former.scores))
    figures = verdict.figures | found.figures("former_champion", prefix="former_")
    numbers = found.in_words(primary)
    best = f"version {former.version}, the best champion so far"
    if found.low > -primary.margin:
        return Verdict(True, f"{verdict.reason} No worse than {best}: {numbers}.", figures)
    if found.high < 0:
        return Verdict(False, f"Worse than {best}: {numbers}.", figures)
    return Verdict(False, f"Not shown to be no worse than {best}: {numbers}; {_doubt(primary)}.", figures)


def _compared(candidate: Scores, other: Scores, gain: np.ndarray) -> Comparison:
    groups = _groups(candidate, other)
    low, high = paired_interval(gain, groups)
    means = float(candidate.score.mean()), float(other.score.mean())
    return Comparison(*means, float(gain.mean()), low, high, paired_p_value(gain, groups))


def _groups(candidate: Scores, other: Scores) -> np.ndarray | None:
    """Which of their examples belong together: the data say so, but an evaluation by older code did not keep it."""
    return other.groups if candidate.groups is None else candidate.groups


def _doubt(primary: Primary) -> str:
    return f"a loss beyond the margin of {primary.margin:.4f} cannot be ruled out"


def _in_words(difference: float) -> str:
    size = f"{abs(difference):.4f}"
    if float(size) == 0:
        return "no difference"
    return f"better by {size}" if difference > 0 else f"worse by {size}"


def paired_interval(gain: np.ndarray, groups: np.ndarray | None = None) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean of `gain`, shape (N,) (Efron & Tibshirani 1993, chapter 13). Where
    there are `groups` (N,), they are drawn, each with all that is in it (Davison & Hinkley 1997, section 3.8).

    The resampling is seeded: the same scores get the same verdict.
    """
    kinds, counts = np.unique(np.stack(_by_group(gain, groups), axis=1), axis=0, return_counts=True)
    drawings = int(counts.sum())
    generator = np.random.default_rng(0)
    means = np.empty(RESAMPLES)
    at_once = max(1, MOST_DRAWN // len(kinds))
    for start in range(0, RESAMPLES, at_once):
        part = means[start : start + at_once]
        # Drawing how often each distinct value occurs is the same as drawing examples, and for 0/1 scores far cheaper.
        drawn = generator.multinomial(drawings, counts / drawings, size=len(part))  # (resamples at once, kinds)
        total, size = (drawn @ kinds).T
        part[:] = total / size
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _by_group(gain: np.ndarray, groups: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The sum of `gain` over each group, and how many examples that is; without groups, each example is one."""
    if groups is None:
        return gain, np.ones(len(gain))
    place = np.unique(groups, return_inverse=True)[1]
    return np.bincount(place, weights=gain), np.bincount(place).astype(np.float64)


def paired_p_value(gain: np.ndarray, groups: np.ndarray | None = None, alternative: str = "two-sided") -> float:
    """How likely so large a difference is if neither is better.

    Exact McNemar for scores of 0 and 1 (McNemar 1947, binomial form), Wilcoxon's signed-rank test for others; of groups
    it is asked for their means.
    """
    total, size = _by_group(gain, groups)
    moved = total[total != 0] / size[total != 0]
    if len(moved) == 0:
        return 1.0
    if set(np.unique(np.abs(moved))) == {1.0}:
        return float(stats.binomtest(int(np.sum(moved > 0)), len(moved), alternative=alternative).pvalue)
    return float(stats.wilcoxon(moved, alternative=alternative).pvalue)


def slice_losses(gain: np.ndarray, names: np.ndarray, groups: np.ndarray | None = None) -> list[SliceLoss]:
    """Each slice's mean gain with the one-sided p-value that it is worse, Holm-adjusted over the slices (Holm 1979)."""
    slices = np.unique(names)
    rows = [names == name for name in slices]
    raw = np.array([paired_p_value(gain[row], None if groups is None else groups[row], "less") for row in rows])
    order = np.argsort(raw)
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1)))
    return [
        SliceLoss(str(name), float(gain[row].mean()), float(p_value), int(np.sum(row)))
        for name, row, p_value in zip(slices, rows, adjusted, strict=True)
    ]


def _is_better(primary: Primary, one: Scores, other: Scores) -> bool:
    return bool(primary.sign * one.score.mean() > primary.sign * other.score.mean())


def _reaches(primary: Primary, value: float) -> bool:
    return primary.sign * value >= primary.sign * primary.floor


def _gain(primary: Primary, candidate: Scores, champion: Scores) -> np.ndarray:
    """Candidate minus champion by example, positive where the candidate is better."""
    if len(candidate.score) != len(champion.score) or not np.array_equal(candidate.slice, champion.slice):
        raise ValueError("Expected both to be scored on the same examples.")
    gain = candidate.score - champion.score
    return primary.sign * gain
