from __future__ import annotations

import numpy as np
import pytest

from monitoring.drift import CONFIDENCE, PREDICTED, alarms, findings
from monitoring.estimate import CAUTION, SLOPE, estimated, possible_error
from monitoring.making import calibration
from monitoring.profile import Profile, Trial, Window
from monitoring.reference import Mix, Reference
from served.features import DISTANCE

GENERATOR = np.random.default_rng(1)
EXAMPLES = 4_000


def window(examples: int, mean: float = 0.0, distance: float = 0.0, confidence: float = 1.0) -> Window:
    """Answers to two labels, of which the confidence says how often they are right."""
    return Window(
        {"brightness": GENERATOR.normal(mean, 1, examples), DISTANCE: GENERATOR.normal(distance, 1, examples)},
        {"": GENERATOR.integers(0, 2, examples)},
        {"": confidence * GENERATOR.uniform(0.8, 1, examples)},
    )


def known(*trials: Trial) -> Profile:
    seen = window(EXAMPLES)
    right = GENERATOR.random(EXAMPLES) < seen.confidences[""]
    return Profile(
        examples=EXAMPLES,
        features={name: Reference.of(values) for name, values in seen.features.items()},
        mixes={"": Mix.of(seen.predicted[""], 2)},
        confidences={"": Reference.of(seen.confidences[""])},
        labels={"": ["cat", "dog"]},
        calibrations={"": calibration(seen.confidences[""], right)},
        trials={"": list(trials)},
    )


UNTOUCHED = Trial("not at all", (0.0, 0.0, 0.0, 0.0), 0.01)
PROFILE = known(UNTOUCHED, Trial("dark", (0.5, 0.0, 0.0, 0.0), 0.02), Trial("torn", (0.5, 0.0, 0.0, 0.6), 0.4))


def test_windows_without_drift_alarm_as_seldom_as_is_allowed() -> None:
    assert np.mean([bool(alarms(findings(PROFILE, window(300)))) for _ in range(300)]) <= 0.05


def test_drift_is_found_where_it_is() -> None:
    (worst, *_) = findings(PROFILE, window(300, mean=0.6))
    assert worst.name == "brightness"
    assert worst.probability < 1e-6
    assert worst.severity == pytest.approx(0.23, abs=0.06)
    (worst, *_) = findings(PROFILE, window(300, confidence=0.9))
    assert worst.name == CONFIDENCE


def test_the_mix_of_labels_is_looked_at_too() -> None:
    one_only = Window({}, {"": np.zeros(200, int)}, {"": window(200).confidences[""]})
    assert [one.name for one in alarms(findings(PROFILE, one_only))] == [PREDICTED]


def test_too_few_are_not_compared() -> None:
    assert findings(PROFILE, window(24, mean=5)) == []


def test_without_drift_the_estimate_is_the_accuracy() -> None:
    estimate = estimated(PROFILE, window(2_000))
    assert estimate.value == pytest.approx(0.9, abs=0.02)
    assert estimate.low < 0.9 < estimate.high < 0.95


def test_where_confidence_was_wrong_in_a_trial_nothing_is_said() -> None:
    torn = window(500, distance=1.8, confidence=0.9)
    estimate = estimated(PROFILE, torn)
    assert estimate.value is None
    assert estimate.reason.startswith("Where answers move as these did, confidence may be wrong by up to")


def test_where_no_trial_is_like_it_nothing_is_said() -> None:
    estimate = estimated(PROFILE, window(500, distance=-4))
    assert estimate.value is None
    assert estimate.reason == "The answers moved as in none of the trials on the validation split."


def test_a_part_of_another_kind_makes_the_interval_wider_or_the_estimate_withheld() -> None:
    some, others = window(450), window(50, distance=6)
    features = {name: np.concatenate([values, others.features[name]]) for name, values in some.features.items()}
    mixed = Window(
        features,
        *(
            {"": np.concatenate([a[""], b[""]])}
            for a, b in ((some.predicted, others.predicted), (some.confidences, others.confidences))
        ),
    )
    plain, estimate = estimated(PROFILE, window(500)), estimated(PROFILE, mixed)
    assert plain.value is not None
    assert estimate.value is None or estimate.high - estimate.low > 1.5 * (plain.high - plain.low)


def test_the_possible_error_is_that_of_the_trials_nearby() -> None:
    trials = [Trial("a", (0.0, 0.0), 0.02), Trial("b", (0.1, 0.0), -0.04), Trial("c", (0.5, 0.0), 0.3)]
    assert possible_error((0.02, 0.0), trials) == pytest.approx(CAUTION * 0.04 + SLOPE * 0.02)
    assert possible_error((0.48, 0.0), trials) == pytest.approx(CAUTION * 0.3 + SLOPE * 0.02)
    assert possible_error((0.9, 0.0), trials) is None
    assert possible_error((0.0, 0.0, 0.0, 0.0), trials) is None  # of a profile that knows no hidden layer


def test_a_profile_is_the_same_after_it_was_kept() -> None:
    kept = Profile.from_json(PROFILE.to_json())
    assert kept is not None
    some = window(400, mean=0.2)
    assert [one.name for one in findings(kept, some)] == [one.name for one in findings(PROFILE, some)]
    assert estimated(kept, some).value == pytest.approx(estimated(PROFILE, some).value, abs=1e-4)


@pytest.mark.parametrize("text", ['{"version": 99}', '{"examples": 5}'])
def test_a_profile_of_other_code_is_none(text: str) -> None:
    assert Profile.from_json(text) is None
