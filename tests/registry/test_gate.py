"""The gate on made-up prediction tables: 10,000 examples in ten classes, the champion is right on 98 %."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from registry.gate import Verdict, decide, paired_interval, paired_p_value, slice_losses
from tasks.contract import Primary, Scores

PRIMARY = Primary(name="accuracy", floor=0.9, margin=0.003, attainable=1.0)
N = 10_000
CLASSES = np.repeat([str(digit) for digit in range(10)], N // 10)
EVERYWHERE = np.random.default_rng(0).permutation(N)


def table(correct: np.ndarray) -> Scores:
    return Scores(score=correct.astype(np.float64), slice=CLASSES, columns={})


def champion() -> np.ndarray:
    correct = np.ones(N)
    correct[EVERYWHERE[:200]] = 0
    return correct


def changed(gained: int, lost: int) -> np.ndarray:
    """The champion with some of its mistakes righted and some new ones made, spread over all classes."""
    correct = champion()
    correct[EVERYWHERE[:gained]] = 1
    correct[EVERYWHERE[200 : 200 + lost]] = 0
    return correct


def judged(correct: np.ndarray) -> Verdict:
    return decide(PRIMARY, table(correct), table(champion()))


def test_better_is_promoted() -> None:
    verdict = judged(changed(gained=120, lost=40))
    assert verdict.promote
    assert verdict.reason.startswith("Better: accuracy 0.9880 against 0.9800, better by +0.0080")
    assert verdict.figures["difference_low"] > 0
    assert verdict.figures["p_value"] < 1e-6


def test_equal_is_promoted_as_no_worse() -> None:
    verdict = judged(changed(gained=50, lost=50))
    assert verdict.promote
    assert verdict.reason.startswith("No worse: accuracy 0.9800 against 0.9800, better by +0.0000")
    assert verdict.figures["p_value"] == pytest.approx(1.0)


def test_slightly_worse_within_noise_is_promoted_as_no_worse() -> None:
    verdict = judged(changed(gained=40, lost=45))
    assert verdict.promote
    assert verdict.reason.startswith("No worse: accuracy 0.9795 against 0.9800, better by -0.0005")
    assert "a loss of 0.0030 is the margin" in verdict.reason


def test_clearly_worse_is_refused() -> None:
    verdict = judged(changed(gained=20, lost=140))
    assert not verdict.promote
    assert verdict.reason.startswith("Worse: accuracy 0.9680 against 0.9800, better by -0.0120")
    assert verdict.figures["difference_high"] < 0


def test_equal_on_average_but_broken_on_one_class_is_refused() -> None:
    correct = changed(gained=60, lost=0)
    sevens = np.flatnonzero((CLASSES == "7") & (champion() == 1))
    correct[sevens[:60]] = 0
    verdict = judged(correct)
    assert verdict.figures["difference"] == pytest.approx(0.0)
    assert not verdict.promote
    assert verdict.reason.startswith("It is broken on '7': ")
    assert "(1000 examples, p = " in verdict.reason


def test_better_on_average_but_broken_on_one_class_is_refused_too() -> None:
    correct = changed(gained=200, lost=0)
    correct[np.flatnonzero(CLASSES == "7")[:60]] = 0
    verdict = judged(correct)
    assert verdict.figures["difference"] > 0.01
    assert not verdict.promote


def test_a_class_that_is_a_little_worse_by_chance_is_not_broken() -> None:
    correct = changed(gained=60, lost=0)
    correct[np.flatnonzero((CLASSES == "7") & (champion() == 1))[:4]] = 0
    assert judged(correct).promote


def test_too_few_examples_to_rule_out_a_loss() -> None:
    slices = CLASSES[:: N // 100]
    mine, theirs = np.ones(100), np.ones(100)
    mine[[5, 15, 25]], theirs[[35, 45, 55]] = 0, 0
    verdict = decide(PRIMARY, Scores(mine, slices, {}), Scores(theirs, slices, {}))
    assert not verdict.promote
    assert verdict.reason.startswith("Not shown to be no worse:")
    assert "a loss beyond the margin of 0.0030 cannot be ruled out" in verdict.reason


def test_below_the_floor_is_refused_even_without_a_champion() -> None:
    correct = np.ones(N)
    correct[EVERYWHERE[:1001]] = 0
    verdict = decide(PRIMARY, table(correct), None)
    assert not verdict.promote
    assert verdict.reason == "Its accuracy of 0.8999 misses the floor: at least 0.9000 is asked for."


def test_the_first_promotion_needs_the_floor_only() -> None:
    verdict = decide(PRIMARY, table(champion()), None)
    assert verdict.promote
    assert verdict.reason == "There is no champion to compare with, and its accuracy of 0.9800 reaches the floor."
    assert verdict.figures == {"candidate": 0.98}


def test_where_lower_is_better_the_signs_turn() -> None:
    error = Primary(name="mse", floor=0.5, margin=0.01, attainable=0.0, higher_is_better=False)
    generator = np.random.default_rng(0)
    before = generator.gamma(2.0, 0.1, N)
    less = decide(error, table(before * 0.8), table(before))
    more = decide(error, table(before * 1.2), table(before))
    assert less.promote
    assert less.reason.startswith("Better: mse ")
    assert not more.promote
    assert not decide(error, table(before + 0.5), None).promote


def test_other_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="scored on the same examples"):
        decide(PRIMARY, table(champion()), Scores(champion()[:10], CLASSES[:10], {}))


def test_the_same_tables_get_the_same_verdict() -> None:
    assert judged(changed(gained=33, lost=30)) == judged(changed(gained=33, lost=30))


def test_mcnemar_by_hand() -> None:
    # 8 gained, 2 lost: two-sided binomial 2 * (1 + 10 + 45) / 1024
    gain = np.array([1.0] * 8 + [-1.0] * 2 + [0.0] * 90)
    assert paired_p_value(gain) == pytest.approx(2 * 56 / 1024)
    assert paired_p_value(-gain, "less") == pytest.approx(56 / 1024)
    assert paired_p_value(np.zeros(5)) == 1.0


def test_graded_scores_are_ranked() -> None:
    gain = np.random.default_rng(0).normal(0.05, 0.1, 60)
    assert paired_p_value(gain) == pytest.approx(stats.wilcoxon(gain).pvalue)


def test_the_interval_is_that_of_an_ordinary_bootstrap() -> None:
    gain = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], size=2_000, p=[0.02, 0.95, 0.03])
    expected = stats.bootstrap((gain,), np.mean, n_resamples=2_000, method="percentile", batch=100, rng=2)
    assert paired_interval(gain) == pytest.approx(tuple(expected.confidence_interval), abs=5e-4)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        low, high = paired_interval(generator.choice([-1.0, 0.0, 1.0], size=1_000, p=[0.04, 0.9, 0.06]))
        covered += low <= 0.02 <= high
    assert 0.92 <= covered / 400 <= 0.98


def test_holm_by_hand() -> None:
    # Losses only: 5 of 5 in a (p = 1/32), 3 of 3 in b (1/8), none in c (1). Holm: 3/32, max(3/32, 2/8), 1.
    gain = np.array([-1.0] * 5 + [-1.0] * 3 + [0.0] * 4)
    names = np.array(["a"] * 5 + ["b"] * 3 + ["c"] * 4)
    losses = {loss.name: loss for loss in slice_losses(gain, names)}
    assert {name: loss.p_value for name, loss in losses.items()} == pytest.approx({"a": 3 / 32, "b": 1 / 4, "c": 1.0})
    assert (losses["a"].difference, losses["a"].examples) == (-1.0, 5)


def test_equal_models_are_rarely_called_broken() -> None:
    """Chance alone, 200 times: one class of ten looking bad must not be taken for a broken one."""
    generator = np.random.default_rng(4)
    refused = sum(
        "broken" in decide(PRIMARY, table(generator.random(N) < 0.98), table(generator.random(N) < 0.98)).reason
        for _ in range(200)
    )
    assert refused <= 10
