"""The gate on made-up prediction tables: 10,000 examples in ten classes, the champion is right on 98 %."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import stats

from registry import gate
from registry.gate import FormerChampion, Verdict, decide, paired_interval, paired_p_value, slice_losses
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
    assert verdict.reason.startswith("Better: accuracy 0.9880 against 0.9800, better by 0.0080")
    assert verdict.figures["difference_low"] > 0
    assert verdict.figures["p_value"] < 1e-6


def test_equal_is_promoted_as_no_worse() -> None:
    verdict = judged(changed(gained=50, lost=50))
    assert verdict.promote
    numbers = "no difference (95 % interval of the difference -0.0020 to +0.0020, p = 1)"
    assert verdict.reason.startswith(f"No worse: accuracy 0.9800 against 0.9800, {numbers}")
    assert verdict.figures["p_value"] == pytest.approx(1.0)


def test_slightly_worse_within_noise_is_promoted_as_no_worse() -> None:
    verdict = judged(changed(gained=40, lost=45))
    assert verdict.promote
    assert verdict.reason.startswith("No worse: accuracy 0.9795 against 0.9800, worse by 0.0005")
    assert "a loss of 0.0030 is the margin" in verdict.reason


def test_clearly_worse_is_refused() -> None:
    verdict = judged(changed(gained=20, lost=140))
    assert not verdict.promote
    assert verdict.reason.startswith("Worse: accuracy 0.9680 against 0.9800, worse by 0.0120")
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
    assert verdict.reason == "There was no champion to compare with, and its accuracy of 0.9800 reaches the floor."
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
    first = decide(error, table(np.full(N, 0.25)), None)
    assert first.reason.endswith("its mse of 0.2500 stays below the bound of 0.5000.")
    high = decide(error, table(np.full(N, 0.75)), None)
    assert (high.promote, high.reason) == (False, "Its mse of 0.7500 is too high: at most 0.5000 is asked for.")


def slid(steps: int) -> np.ndarray:
    """The champion after that many promotions, each of which has lost 0.0010."""
    correct = champion()
    correct[EVERYWHERE[200 : 200 + 10 * steps]] = 0
    return correct


def test_ten_champions_that_are_each_a_hair_worse_do_not_follow_one_another() -> None:
    """Each candidate is no worse than the champion before it, and the tenth would have lost three margins."""
    steps = [decide(PRIMARY, table(slid(step)), table(slid(step - 1))) for step in range(1, 11)]
    assert all(verdict.promote and verdict.reason.startswith("No worse: ") for verdict in steps)

    best = FormerChampion("1", table(champion()))
    held = [decide(PRIMARY, table(slid(step)), table(slid(step - 1)), best) for step in range(1, 11)]
    assert [verdict.promote for verdict in held] == [True] * 2 + [False] * 8
    assert held[2].reason.startswith("Worse than version 1, the best champion so far: accuracy 0.9770 against 0.9800, ")
    assert "worse by 0.0030 (95 % interval of the difference -0.0041 to -0.0019, p = 1.9e-09)" in held[2].reason
    assert held[2].figures["former_champion"] == pytest.approx(0.98)
    assert held[2].figures["former_difference"] == pytest.approx(-0.003)


def test_an_equal_of_the_best_champion_is_promoted() -> None:
    best = FormerChampion("1", table(champion()))
    verdict = decide(PRIMARY, table(changed(gained=50, lost=50)), table(slid(2)), best)
    assert verdict.promote
    assert (
        "No worse than version 1, the best champion so far: accuracy 0.9800 against 0.9800, no diff" in verdict.reason
    )


def test_too_few_examples_to_rule_out_a_loss_against_the_best_champion() -> None:
    slices = CLASSES[:: N // 100]
    mine, best = np.ones(100), np.ones(100)
    mine[[5, 15, 25, 26]], best[[35, 45, 55]] = 0, 0
    now = np.zeros(100)
    former = FormerChampion("4", Scores(best, slices, {}))
    verdict = decide(PRIMARY, Scores(mine, slices, {}), Scores(now, slices, {}), former)
    assert not verdict.promote
    assert verdict.reason.startswith(
        "Not shown to be no worse than version 4, the best champion so far: accuracy 0.9600"
    )
    assert verdict.reason.endswith("a loss beyond the margin of 0.0030 cannot be ruled out.")


def test_a_former_champion_that_was_no_better_than_the_present_one_is_not_asked() -> None:
    worse = FormerChampion("1", table(changed(gained=0, lost=10)))
    verdict = decide(PRIMARY, table(changed(gained=0, lost=8)), table(champion()), worse)
    assert verdict == judged(changed(gained=0, lost=8))


def test_without_a_champion_the_best_former_one_is_the_measure() -> None:
    best = FormerChampion("1", table(champion()))
    assert not decide(PRIMARY, table(slid(10)), None, best).promote
    verdict = decide(PRIMARY, table(slid(0)), None, best)
    assert verdict.promote
    assert verdict.reason.startswith(
        "There was no champion to compare with, and its accuracy of 0.9800 reaches the floor. "
    )


def test_where_lower_is_better_the_best_former_champion_is_the_lowest() -> None:
    error = Primary(name="mse", floor=0.5, margin=0.01, attainable=0.0, higher_is_better=False)
    best = np.random.default_rng(0).gamma(2.0, 0.1, N)
    former = FormerChampion("2", table(best))
    assert decide(error, table(best + 0.015), table(best + 0.009)).promote
    verdict = decide(error, table(best + 0.015), table(best + 0.009), former)
    assert not verdict.promote
    assert verdict.reason.startswith("Worse than version 2, the best champion so far: mse 0.2")
    assert "worse by 0.0150" in verdict.reason
    assert decide(error, table(best + 0.005), table(best + 0.009), former).promote


def test_other_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="scored on the same examples"):
        decide(PRIMARY, table(champion()), Scores(champion()[:10], CLASSES[:10], {}))


def test_the_same_tables_get_the_same_verdict() -> None:
    assert judged(changed(gained=33, lost=30)) == judged(changed(gained=33, lost=30))


def test_mcnemar_by_hand() -> None:
    # 8 gained, 2 lost: two-sided binomial 2 * (1 + 10 + 45) / 1024
    gain = np.array([1.0] * 8 + [-1.0] * 2 + [0.0] * 90)
    assert paired_p_value(gain) == pytest.approx(2 * 56 / 1024)
    assert paired_p_value(-gain, alternative="less") == pytest.approx(56 / 1024)
    assert paired_p_value(np.zeros(5)) == 1.0


def test_graded_scores_are_ranked() -> None:
    gain = np.random.default_rng(0).normal(0.05, 0.1, 60)
    assert paired_p_value(gain) == pytest.approx(stats.wilcoxon(gain).pvalue)


def test_the_interval_is_that_of_an_ordinary_bootstrap() -> None:
    gain = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], size=2_000, p=[0.02, 0.95, 0.03])
    expected = stats.bootstrap((gain,), np.mean, n_resamples=2_000, method="percentile", batch=100, rng=2)
    assert paired_interval(gain) == pytest.approx(tuple(expected.confidence_interval), abs=5e-4)


def test_the_interval_is_the_same_however_many_resamples_are_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graded scores in one piece, in pieces of a few resamples with a smaller one at the end, and one by one."""
    gain = np.random.default_rng(2).normal(0.01, 1.0, 500)
    whole = paired_interval(gain)
    for most in (500 * 300, 1):
        monkeypatch.setattr(gate, "MOST_DRAWN", most)
        assert paired_interval(gain) == pytest.approx(whole, abs=1e-15)


def test_many_distinct_scores_take_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 resamples of 50,000 distinct scores would take 40 MB at once."""
    monkeypatch.setattr(gate, "RESAMPLES", 100)
    monkeypatch.setattr(gate, "MOST_DRAWN", 2**18)
    gain = np.random.default_rng(2).normal(0.01, 1.0, 50_000)
    tracemalloc.start()
    try:
        paired_interval(gain)
        assert tracemalloc.get_traced_memory()[1] < 16e6
    finally:
        tracemalloc.stop()


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        low, high = paired_interval(generator.choice([-1.0, 0.0, 1.0], size=1_000, p=[0.04, 0.9, 0.06]))
        covered += low <= 0.02 <= high
    assert 0.92 <= covered / 400 <= 0.98


def test_an_example_that_comes_twice_in_its_group_counts_once() -> None:
    generator = np.random.default_rng(4)
    best, mine = generator.uniform(0.6, 0.9, (2, 30))
    slices = np.repeat(["a", "b"], 15)
    once = decide(PRIMARY, Scores(mine + 0.3, slices, {}), Scores(best + 0.3, slices, {}))
    rows = np.repeat(np.arange(30), 2)
    for groups in ((rows, rows), (None, rows), (rows, None)):  # older code did not keep them
        scored = zip((mine, best), groups, strict=True)
        twice, against = (Scores(score[rows] + 0.3, slices[rows], {}, groups=known) for score, known in scored)
        assert decide(PRIMARY, twice, against).figures == pytest.approx(once.figures)


def test_the_interval_of_groups_covers_the_truth_as_often_as_it_says() -> None:
    """60 patients with one volume or two, which are alike. As if all volumes were independent, it does not."""
    generator = np.random.default_rng(5)
    covered = {"groups": 0, "examples": 0}
    for _ in range(400):
        groups = np.repeat(np.arange(60), generator.integers(1, 3, size=60))
        gain = generator.normal(size=60)[groups] + generator.normal(scale=0.3, size=len(groups))
        for name, known in (("groups", groups), ("examples", None)):
            low, high = paired_interval(gain, known)
            covered[name] += low <= 0 <= high
    assert 0.92 <= covered["groups"] / 400 <= 0.98
    assert covered["examples"] / 400 < 0.9


def test_the_means_of_groups_are_ranked() -> None:
    gain, groups = np.array([0.5, 0.1, -0.2, 0.4, 0.0, 0.3]), np.array(["b", "a", "c", "a", "d", "b"])
    assert paired_p_value(gain, groups) == pytest.approx(stats.wilcoxon([0.25, 0.4, -0.2]).pvalue)


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
