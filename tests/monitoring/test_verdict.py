from __future__ import annotations

import dataclasses

import pytest

from monitoring.drift import Finding
from monitoring.estimate import Estimate
from monitoring.verdict import Champion, Expected, Level, Verdict, corrected, current, decide, with_labels
from monitoring.windows import Measured, Unknown, Watched

SOURCE = "models:/digits/1"
DRIFT = Finding("brightness", 0.5, 0.4, 1e-9)
QUIET = Finding("brightness", 0.03, 0.0, 0.4)


def window(**values: object) -> Watched:
    given: dict[str, object] = {"items": 500, "refused": {}, "seconds": (0.001, 0.002, 0.003), "findings": (QUIET,)}
    return Watched(SOURCE, 3600.0, 7200.0, **(given | values))  # type: ignore[arg-type]


def verdict(*windows: Watched) -> Verdict:
    return decide(corrected(windows), {SOURCE: Expected({"": 0.97}, bound_ms=100, rehearsed_ms=2.0)})


def test_what_is_as_it_was_is_fine() -> None:
    assert verdict(window(), window()).level == Level.FINE


def test_nothing_served_is_worth_a_look() -> None:
    assert verdict().level == Level.WATCH


@pytest.mark.parametrize(
    ("estimate", "level", "words"),
    [
        (Estimate(0.96, 0.94, 0.98), Level.WATCH, "It seems to do no harm: the accuracy is estimated at 0.960"),
        (Estimate(0.91, 0.88, 0.94), Level.RETRAIN, "It does harm: the accuracy is estimated at 0.910"),
        (Estimate(None, reason="Nobody knows."), Level.RETRAIN, "No accuracy is estimated. Nobody knows. Label some"),
    ],
)
def test_drift_counts_by_its_harm(estimate: Estimate, level: Level, words: str) -> None:
    found = verdict(window(), window(findings=(DRIFT,), estimates={"": estimate}))
    assert found.level == level
    assert found.reasons[0].sentence.startswith(f"Drift: brightness (severity 0.40). {words}")
    assert found.reasons[0].when == "01 Jan 01:00 to 02:00 UTC, models:/digits/1"


def test_labels_go_before_estimates() -> None:
    withheld = Estimate(None, reason="Nobody knows.")
    harmless = window(findings=(DRIFT,), estimates={"": withheld}, measured={"": Measured(0.97, 0.94, 0.98, 200)})
    assert verdict(harmless).level == Level.WATCH
    harmed = dataclasses.replace(harmless, measured={"": Measured(0.8, 0.74, 0.85, 200)})
    found = verdict(harmed)
    assert found.level == Level.RETRAIN
    assert found.reasons[0].sentence.startswith("By 200 labels the accuracy is 0.800 (0.740 to 0.850)")


def test_labels_of_other_items_than_those_that_drifted_judge_nothing() -> None:
    withheld = {"": Estimate(None, reason="Nobody knows.")}
    early = Measured(0.97, 0.94, 0.98, 200, is_fair=False)
    found = verdict(window(findings=(DRIFT,), estimates=withheld, measured={"": early}))
    assert found.level == Level.RETRAIN
    assert [reason.sentence for reason in found.reasons] == [
        "Drift: brightness (severity 0.40). No accuracy is estimated. Nobody knows. Label some, or train anew.",
        "By 200 labels the accuracy is 0.970 (0.940 to 0.980), on the validation split it was 0.970. The items with "
        "labels are answered unlike the others, of which it says nothing.",
    ]
    estimated = {"": Estimate(0.96, 0.94, 0.98)}
    both = verdict(window(findings=(DRIFT,), estimates=estimated, measured={"": early}))
    assert [(reason.level, "earlier" in reason.when) for reason in both.reasons] == [(Level.WATCH, False)] * 2
    doubtful = Measured(0.6, 0.5, 0.7, 60, is_fair=False)  # of the answers that the model was least sure of
    assert verdict(window(measured={"": doubtful})).level == Level.WATCH
    numbers = window(findings=(DRIFT,), errors={"": Measured(44.0, 40.0, 48.0, 200, is_fair=False)})
    assert decide(corrected([numbers]), {SOURCE: Expected(errors={"": 44.0})}).level == Level.RETRAIN


def test_wrong_answers_without_drift_are_found_by_labels() -> None:
    assert verdict(window(measured={"": Measured(0.8, 0.74, 0.85, 200)})).level == Level.RETRAIN


def test_labels_that_are_none_of_the_models_are_worth_a_look() -> None:
    found = verdict(window(unknown=Unknown(600, "'7.5'", "'0', '1', '2' and 7 more")))
    assert found.level == Level.WATCH
    assert found.reasons[0].sentence == (
        "600 labels are none of the model's, e.g. '7.5'; it has '0', '1', '2' and 7 more."
    )
    alone = verdict(window(unknown=Unknown(1, "'n/a'", "finite numbers"))).reasons[0].sentence
    assert alone == "1 label is none of the model's, e.g. 'n/a'; it has finite numbers."


def test_labels_of_other_items_are_told() -> None:
    """An item that was answered in two windows is one."""
    windows = [window(labelled=frozenset(ids)) for ids in ("ab", "bc", "")]
    found = with_labels(verdict(*windows), windows, 99)
    assert found.level == Level.FINE
    assert found.reasons[-1].sentence == ("Of 99 labels in the record, 3 are of items that were answered in this time.")
    assert with_labels(verdict(*windows), windows, 0) == verdict(*windows)


def test_where_there_are_no_labels_grave_drift_asks_for_another_training() -> None:
    grave, slight = (Finding("answer", severity + 0.05, severity, 1e-9) for severity in (0.5, 0.1))
    assert decide(corrected([window(findings=(grave,))]), {}).level == Level.RETRAIN
    assert decide(corrected([window(findings=(slight,))]), {}).level == Level.WATCH


def test_a_model_that_fails_is_told() -> None:
    found = verdict(window(refused={"internal": 20, "shape": 30}))
    assert found.level == Level.WATCH
    assert [reason.sentence for reason in found.reasons] == ["The model failed 20 of 550 requests (3.6 %)."]
    assert verdict(window(refused={"shape": 50})).level == Level.FINE  # those who sent it are to blame


def test_that_much_is_refused_is_told() -> None:
    """A word that no training row had is refused, and so is all that a new client sends in another form."""
    found = verdict(window(items=60, refused={"range": 200, "shape": 40, "internal": 1}))
    assert found.level == Level.WATCH
    assert [reason.sentence for reason in found.reasons][-1] == (
        "240 of 301 requests were refused (80 %), most of them for 'range'."
    )
    assert verdict(window(items=0, findings=(), refused={"range": 200})).level == Level.WATCH
    assert verdict(window(items=4, refused={"range": 2})).level == Level.FINE


def test_what_cannot_be_compared_is_not_fine() -> None:
    few = verdict(window(items=20, findings=()), window(items=3, findings=()))
    assert few.level == Level.WATCH
    assert few.reasons[0].sentence == ("Nothing could be compared: no window has 25 answers. Look at longer windows.")
    assert verdict(window(items=20, findings=()), window()).level == Level.FINE  # the quiet hours of a night
    gone = decide([window(findings=())], {SOURCE: Expected(incomparable="version 1 is gone")})
    assert gone.level == Level.WATCH
    assert gone.reasons[0].sentence == "Nothing can be compared: version 1 is gone."
    assert decide([], {}, others={"models:/mnist/1"}).reasons[0].sentence == (
        "Nothing was recorded of this task, but of models:/mnist/1."
    )


def test_a_version_whose_place_another_one_took_is_history() -> None:
    """The champion was set at 9000 s, and an hour later it is 12600 s."""
    champion = Champion("models:/digits/2", since=9000.0)
    before, serves = window(last=9002.0), dataclasses.replace(window(last=12_000.0), source=champion.source)
    assert current([before, serves], champion, 12_600.0) == [serves]
    answers = window(last=9500.0)  # in a container, which was replaced later
    assert current([before, answers, serves], champion, 12_600.0) == [before, answers, serves]
    assert current([before, answers, serves], champion, 13_200.0) == [serves]
    by_hand = Champion(champion.source)  # nobody noted when
    assert current([before, serves], by_hand, 12_600.0) == [before, serves]
    assert current([before, serves], by_hand, 12_700.0) == [serves]
    assert current([before, serves], Champion(SOURCE, since=9000.0), 99_999.0) == [before]
    assert current([before, serves], None, 99_999.0) == [before, serves]


def test_another_training_is_for_the_champion_alone() -> None:
    champion, known = Champion("models:/digits/2", since=9000.0), {SOURCE: Expected({"": 0.97})}
    bad = window(findings=(DRIFT,), measured={"": Measured(0.8, 0.74, 0.85, 200)})
    assert decide([bad], known, Champion(SOURCE)).level == Level.RETRAIN
    place = "It answers, and is not the champion: put models:/digits/2 in its place."
    found = decide([bad], known, champion)
    assert found.level == Level.WATCH
    assert [reason.sentence.split(" (")[0] for reason in found.reasons] == [
        place,
        "By 200 labels the accuracy is 0.800",
    ]
    quiet = decide([window()], known, champion)
    assert (quiet.level, [reason.sentence for reason in quiet.reasons]) == (Level.WATCH, [place])
    nothing = decide([], known, champion, others={SOURCE})
    assert (
        nothing.reasons[0].sentence
        == "Nothing was recorded of models:/digits/2, the champion, but of models:/digits/1."
    )


def test_more_windows_are_more_chances_of_a_false_alarm() -> None:
    likely = window(
        findings=(dataclasses.replace(QUIET, probability=0.01),), estimates={"": Estimate(0.97, 0.95, 0.99)}
    )
    assert verdict(likely).level == Level.WATCH
    assert verdict(*[likely] * 6).level == Level.FINE


def test_the_gravest_comes_first() -> None:
    some = window(findings=(DRIFT,), estimates={"": Estimate(0.96, 0.94, 0.98)})
    worse = window(findings=(DRIFT,), estimates={"": Estimate(0.5, 0.4, 0.6)})
    assert [reason.level for reason in verdict(some, worse).reasons] == [Level.RETRAIN, Level.WATCH]


def test_a_number_is_judged_by_its_error() -> None:
    """What it may grow by is a tenth of what it was."""

    def found(error: Measured | None, *findings: Finding) -> Verdict:
        errors = {} if error is None else {"": error}
        return decide(corrected([window(findings=findings, errors=errors)]), {SOURCE: Expected(errors={"": 44.0})})

    assert found(Measured(47.0, 42.0, 52.0, 200)).level == Level.FINE
    worse = found(Measured(58.1, 52.0, 64.2, 200)).reasons[0]
    assert worse.level == Level.RETRAIN
    assert worse.sentence == (
        "By 200 labels the mean absolute error is 58.1 (52 to 64.2), on the validation split it was 44."
    )
    harmless = found(Measured(44.0, 40.0, 48.0, 200), DRIFT).reasons[0]
    assert harmless.level == Level.WATCH
    assert "It does no harm so far: by 200 labels the mean absolute error is 44 (40 to 48)" in harmless.sentence
    assert found(None, DRIFT).level == Level.RETRAIN


def test_slow_answers_are_worth_a_look() -> None:
    found = verdict(window(seconds=(0.2, 0.3, 0.4)))
    assert found.level == Level.WATCH
    assert found.reasons[0].sentence == (
        "Half of the requests took more than 200 ms, the bound is 100 ms; when it was rehearsed, one took 2.0 ms."
    )


def test_what_lasts_is_told_once() -> None:
    withheld = window(findings=(DRIFT,), estimates={"": Estimate(None, reason="Nobody knows.")})
    later = dataclasses.replace(withheld, begin=7200.0, end=10800.0)
    found = verdict(withheld, withheld, later, window(findings=(DRIFT,), estimates={"": Estimate(0.96, 0.94, 0.98)}))
    assert [(reason.level, reason.when) for reason in found.reasons] == [
        (Level.RETRAIN, "01 Jan 02:00 to 03:00 UTC, models:/digits/1, and 2 earlier windows"),
        (Level.WATCH, "01 Jan 01:00 to 02:00 UTC, models:/digits/1"),
    ]
