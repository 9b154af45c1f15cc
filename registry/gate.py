"""The gate: may this candidate replace the champion? Pure statistics over per-example scores, no tracking store."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from tasks.contract import Primary, Scores

CONFIDENCE = 0.95
RESAMPLES = 2_000
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


def decide(primary: Primary, candidate: Scores, champion: Scores | None) -> Verdict:
    """Judges a candidate by its scores and the champion's on the same examples.

    It has to reach the absolute floor; to be no worse than the champion overall, which is to say that the lower end of
    the 95 % interval of the paired difference lies above minus the margin (non-inferiority, Piaggio et al. 2012); and
    to be broken on no slice.

    Args:
        primary: Names the metric, its floor and its margin.
        candidate: Scores of the candidate.
        champion: Scores of the champion on the same examples in the same order; None where there is no champion.

    Raises:
        ValueError: The two were not scored on the same examples.
    """
    value = float(candidate.score.mean())
    figures = {"candidate": value}
    if not _reaches(primary, value):
        bound = "at least" if primary.higher_is_better else "at most"
        reason = f"Its {primary.name} of {value:.4f} misses the floor: {bound} {primary.floor:.4f} is asked for."
        return Verdict(False, reason, figures)
    if champion is None:
        reason = f"There is no champion to compare with, and its {primary.name} of {value:.4f} reaches the floor."
        return Verdict(True, reason, figures)
    return _compare(primary, candidate, champion, figures)


def _compare(primary: Primary, candidate: Scores, champion: Scores, figures: dict[str, float]) -> Verdict:
    """The verdict on a candidate that reaches the floor."""
    gain = _gain(primary, candidate, champion)
    low, high = paired_interval(gain)
    losses = slice_losses(gain, champion.slice)
    worst = min(losses, key=lambda loss: loss.difference)
    figures = figures | {
        "champion": float(champion.score.mean()),
        "difference": float(gain.mean()),
        "difference_low": low,
        "difference_high": high,
        "p_value": paired_p_value(gain),
        "worst_slice_difference": worst.difference,
        "worst_slice_p_value": worst.p_value,
    }
    numbers = (
        f"{primary.name} {figures['candidate']:.4f} against {figures['champion']:.4f}, better by "
        f"{figures['difference']:+.4f} (95 % interval {low:+.4f} to {high:+.4f}, p = {figures['p_value']:.2g})"
    )
    no_worse = low > -primary.margin
    if not no_worse and high < 0:
        return Verdict(False, f"Worse: {numbers}.", figures)
    for loss in losses:
        if loss.p_value < 1 - CONFIDENCE and loss.difference < -SLICE_MARGINS * primary.margin:
            where = f"{-loss.difference:.4f} worse there ({loss.examples} examples, p = {loss.p_value:.2g})"
            return Verdict(False, f"It is broken on {loss.name!r}: {where}. Overall: {numbers}.", figures)
    if low > 0:
        return Verdict(True, f"Better: {numbers}.", figures)
    if no_worse:
        return Verdict(True, f"No worse: {numbers}; a loss of {primary.margin:.4f} is the margin.", figures)
    doubt = f"a loss beyond the margin of {primary.margin:.4f} cannot be ruled out"
    return Verdict(False, f"Not shown to be no worse: {numbers}; {doubt}.", figures)


def paired_interval(gain: np.ndarray) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean of `gain`, shape (N,) (Efron & Tibshirani 1993, chapter 13).

    The resampling is seeded: the same scores get the same verdict.
    """
    values, counts = np.unique(gain, return_counts=True)
    # Drawing how often each distinct value occurs is the same as drawing examples, and for 0/1 scores far cheaper.
    drawn = np.random.default_rng(0).multinomial(len(gain), counts / len(gain), size=RESAMPLES)
    low, high = np.quantile(drawn @ values / len(gain), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def paired_p_value(gain: np.ndarray, alternative: str = "two-sided") -> float:
    """How likely so large a difference is if neither is better.

    Exact McNemar for scores of 0 and 1 (McNemar 1947, binomial form), Wilcoxon's signed-rank test for others.
    """
    moved = gain[gain != 0]
    if len(moved) == 0:
        return 1.0
    if set(np.unique(np.abs(moved))) == {1.0}:
        return float(stats.binomtest(int(np.sum(moved > 0)), len(moved), alternative=alternative).pvalue)
    return float(stats.wilcoxon(moved, alternative=alternative).pvalue)


def slice_losses(gain: np.ndarray, names: np.ndarray) -> list[SliceLoss]:
    """Each slice's mean gain with the one-sided p-value that it is worse, Holm-adjusted over the slices (Holm 1979)."""
    slices = np.unique(names)
    raw = np.array([paired_p_value(gain[names == name], alternative="less") for name in slices])
    order = np.argsort(raw)
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1)))
    return [
        SliceLoss(str(name), float(gain[names == name].mean()), float(p_value), int(np.sum(names == name)))
        for name, p_value in zip(slices, adjusted, strict=True)
    ]


def _reaches(primary: Primary, value: float) -> bool:
    return primary.sign * value >= primary.sign * primary.floor


def _gain(primary: Primary, candidate: Scores, champion: Scores) -> np.ndarray:
    """Candidate minus champion by example, positive where the candidate is better."""
    if len(candidate.score) != len(champion.score) or not np.array_equal(candidate.slice, champion.slice):
        raise ValueError("Expected both to be scored on the same examples.")
    gain = candidate.score - champion.score
    return primary.sign * gain
