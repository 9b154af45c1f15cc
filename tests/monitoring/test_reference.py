from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from scipy.stats import chi2_contingency, ks_2samp

from monitoring.reference import Mix, Reference

GENERATOR = np.random.default_rng(1)
NORMAL = GENERATOR.normal(size=5_000)
LABELS = GENERATOR.integers(0, 4, 4_000)


def test_the_distance_is_that_of_kolmogorov_and_smirnov() -> None:
    values = GENERATOR.normal(0.3, 1.2, 400)
    exact = ks_2samp(NORMAL, values).statistic
    assert Reference.of(NORMAL).distance(values) == pytest.approx(exact, abs=0.006)  # it is known at 200 places


def test_where_nothing_hangs_together_probabilities_are_those_of_a_test_without_blocks() -> None:
    values = GENERATOR.normal(0.1, 1, 400)
    exact = ks_2samp(NORMAL, values, method="asymp").pvalue
    known = dataclasses.replace(Reference.of(NORMAL), variance=0.0)
    assert known.probability(values) == pytest.approx(exact, rel=0.3)


@pytest.mark.parametrize("size", [50, 500])
def test_as_many_false_alarms_as_are_allowed(size: int) -> None:
    reference = Reference.of(NORMAL)
    alarms = [reference.probability(GENERATOR.normal(size=size)) < 0.05 for _ in range(400)]
    assert np.mean(alarms) < 0.08


def test_neighbours_that_are_alike_are_allowed_for() -> None:
    """As when each writer contributes a hundred digits, and writers differ."""
    writers = GENERATOR.normal(0, 0.3, (60, 1))
    reference = Reference.of((writers[:50] + GENERATOR.normal(size=(50, 100))).ravel())
    assert reference.variance > 0.001
    others = [(writers[50:] + GENERATOR.normal(size=(10, 100)))[k : k + 2].ravel() for k in range(9)]
    assert np.mean([reference.probability(one) < 0.05 for one in others]) < 0.4
    plain = Reference(reference.places, reference.shares, reference.examples, 0.0)
    assert all(plain.probability(one) < reference.probability(one) for one in others)


def test_values_that_many_have_are_compared_rightly() -> None:
    """Of what is nearly always 0 or 1, a tie is no distance."""
    zeros = np.repeat([0.0, 1 / 3, 1.0], [800, 150, 50])
    reference = Reference.of(GENERATOR.permutation(zeros))
    assert reference.distance(zeros) == pytest.approx(0, abs=1e-9)
    assert reference.sides(np.zeros(10)) == pytest.approx((0.2, 0))
    assert reference.sides(np.ones(10)) == pytest.approx((0, 0.95))


def test_severity_is_none_where_chance_explains_it() -> None:
    reference = Reference.of(NORMAL)
    assert np.mean([reference.severity(GENERATOR.normal(size=500)) for _ in range(50)]) < 0.02
    assert reference.severity(GENERATOR.normal(2, 1, 500)) == pytest.approx(0.68, abs=0.06)


def test_it_is_the_same_after_it_was_kept() -> None:
    reference = Reference.of(NORMAL)
    kept = Reference.from_json(json.loads(json.dumps(reference.to_json())))
    values = GENERATOR.normal(0.2, 1, 300)
    assert kept.probability(values) == pytest.approx(reference.probability(values), rel=1e-3)


def test_a_mix_of_labels_is_compared_as_pearson_does() -> None:
    found = np.repeat(np.arange(4), [130, 110, 90, 70])
    exact = chi2_contingency([np.bincount(found), np.bincount(LABELS)]).pvalue
    mix = Mix(np.bincount(LABELS), 0.0)
    assert mix.probability(found) == pytest.approx(exact, rel=1e-6)
    shares = np.bincount(LABELS) / len(LABELS)
    assert mix.distance(found) == pytest.approx(np.abs(np.bincount(found) / 400 - shares).sum() / 2)


def test_a_label_that_is_gone_is_found_and_chance_is_not() -> None:
    mix = Mix.of(LABELS, 4)
    alarms = [mix.probability(GENERATOR.integers(0, 4, 300)) < 0.05 for _ in range(300)]
    assert np.mean(alarms) < 0.09
    assert mix.probability(GENERATOR.integers(0, 3, 300)) < 1e-9
    assert mix.severity(GENERATOR.integers(0, 3, 3_000)) == pytest.approx(0.25, abs=0.03)
    assert np.mean([mix.severity(GENERATOR.integers(0, 4, 300)) for _ in range(50)]) < 0.02


def test_one_label_has_no_mix() -> None:
    assert Mix.of(np.zeros(50, int), 1).probability(np.zeros(30, int)) == 1
