"""Statistics against known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from studies.statistics import difference, holm, repeats_needed, summarize


def simulated(studies: int, gap: float, repeats: int, variants: int = 2) -> float:
    """The share of simulated studies that call any variant different from the first; the values of one variant have a
    spread of 0.1 points, and the gap, in points, is that of every other variant to the first."""
    generator = np.random.default_rng(0)
    found = 0
    for _ in range(studies):
        values = 98 + 0.1 * generator.standard_normal((variants, repeats))
        values[1:] += gap
        first, *others = (dict(enumerate(row)) for row in values)
        found += any(d.distinguishable for d in holm([difference("b", "a", other, first) for other in others]))
    return found / studies


@pytest.mark.parametrize("repeats", [3, 5, 10])
@pytest.mark.parametrize("variants", [2, pytest.param(6, marks=pytest.mark.slow)])
def test_identical_variants_are_rarely_called_different(repeats: int, variants: int) -> None:
    assert simulated(1_000, 0, repeats, variants) <= 0.07


def test_half_a_point_at_a_spread_of_a_tenth_is_found() -> None:
    assert simulated(200, 0.5, repeats=5) >= 0.95


def test_a_difference_by_hand() -> None:
    one, other = {1: 0.5, 2: 0.7, 3: 0.9, 9: 0.0}, {1: 0.4, 2: 0.5, 3: 0.6}
    found = difference("a", "b", one, other)  # differences 0.1, 0.2, 0.3: mean 0.2, standard deviation 0.1
    assert found.count == 3
    assert found.mean == pytest.approx(0.2)
    assert found.effect == pytest.approx(2.0)
    assert found.half_width == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-6)
    # t = 2√3 with 2 degrees of freedom, whose distribution function is known in closed form: 1/2 + t / (2 √(2 + t²))
    assert found.p_value == pytest.approx(1 - 2 * math.sqrt(3) / math.sqrt(14), rel=1e-9)
    assert not found.distinguishable


def test_holm_by_hand() -> None:
    generator = np.random.default_rng(1)
    zero = dict.fromkeys(range(8), 0.0)
    raw = [
        difference(name, "zero", dict(enumerate(shift + generator.standard_normal(8))), zero)
        for name, shift in (("small", 0.9), ("none", 0.0), ("large", 3.0))
    ]
    p = {d.first: d.p_value for d in raw}
    assert p["large"] < p["small"] < p["none"]
    adjusted = {d.first: d.p_value for d in holm(raw)}
    assert adjusted["large"] == pytest.approx(3 * p["large"])
    assert adjusted["small"] == pytest.approx(max(2 * p["small"], 3 * p["large"]))
    assert adjusted["none"] == pytest.approx(max(p["none"], 2 * p["small"]))


# Cohen 1988, and G*Power's table for paired t-tests at 0.05 and a power of 0.8.
@pytest.mark.parametrize(("effect", "repeats"), [(0.5, 34), (0.8, 15), (1.0, 10), (-1.0, 10)])
def test_repeats_needed_are_those_of_the_textbook(effect: float, repeats: int) -> None:
    assert repeats_needed(effect) == repeats


def test_no_number_of_repeats_finds_nothing() -> None:
    assert repeats_needed(0.0) is None
    assert repeats_needed(0.01) is None


@pytest.mark.parametrize(("repeats", "found"), [(3, False), (5, False), (6, True)])
def test_the_same_difference_with_every_seed_is_a_matter_of_signs(repeats: int, found: bool) -> None:
    one, other = dict.fromkeys(range(repeats), 0.75), dict.fromkeys(range(repeats), 0.5)
    assert difference("a", "b", one, other).p_value == 2 * 0.5**repeats
    assert difference("a", "b", one, other).distinguishable is found
    assert difference("a", "a", one, one).p_value == 1


def test_equal_differences_of_whole_numbers_have_the_spread_of_rounding() -> None:
    one, other = dict.fromkeys(range(5), 6.0), dict.fromkeys(range(5), 3.0)
    found = difference("a", "b", one, other, step=1)
    error = 1 / math.sqrt(12 * 5)
    assert found.p_value == pytest.approx(2 * stats.t.sf(3 / error, 4))
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, 4) * error)
    assert found.distinguishable
    assert not difference("a", "a", one, one, step=1).distinguishable


def test_more_comparisons_need_more_repeats() -> None:
    found = difference("a", "b", {1: 0.0, 2: 2.0}, {1: 0.0, 2: 0.0})  # mean 1, standard deviation √2
    alone, among = found.needed(1), found.needed(10)
    assert alone is not None
    assert among is not None
    assert alone == repeats_needed(1 / math.sqrt(2))
    assert alone < among


def test_one_pair_tells_nothing() -> None:
    found = difference("a", "b", {1: 0.9}, {1: 0.1})
    assert found.mean == pytest.approx(0.8)
    assert math.isnan(found.p_value)
    assert not found.distinguishable
    assert math.isnan(holm([found])[0].p_value)


def test_variants_without_a_common_seed_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        difference("a", "b", {1: 0.9}, {2: 0.1})


def test_the_interval_of_a_mean_covers_it_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    summaries = [summarize(sample) for sample in generator.standard_normal((2_000, 5))]
    covered = sum(abs(summary.mean) <= summary.half_width for summary in summaries)
    assert stats.binomtest(covered, 2_000, 0.95).pvalue > 0.01
