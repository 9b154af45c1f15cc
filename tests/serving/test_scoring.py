"""What a challenger is asked, and how it is counted; here it is no process."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import numpy as np
import pytest

from forms.answers.labels import Labels
from forms.items.values import Values
from serving.gateway import scoring as module
from serving.gateway.challenger import ChallengerError
from serving.gateway.champion import Release
from serving.gateway.scoring import Scoring, batches, size

LABELS = Labels(("a", "b"))
ITEM, OUTPUT = np.zeros(8, np.uint8), np.array([0.9, 0.1], np.float32)


def release(version: str, labels: Labels = LABELS) -> Release:
    return Release(version, Values(), (8,), "uint8", labels, {}, lambda items: items)


THIRD, FOURTH = release("3"), release("4")


class Fake:
    """Stands for a challenger: agrees with what is 0, and fails as it is told."""

    version, answer = "9", LABELS

    def __init__(self) -> None:
        self.is_running = self.is_dismissed = False
        self.loads = 0
        self.batches: list[int] = []
        self.fails_on: dict[int, str] = {}  # by the number of the batch
        self.does_not_load = ""

    def load(self) -> None:
        self.loads += 1
        if self.does_not_load:
            raise ChallengerError(self.does_not_load)
        self.is_running = True

    def outcomes(self, batch: list[Any]) -> list[str]:
        self.batches.append(len(batch))
        if cause := self.fails_on.pop(len(self.batches), ""):
            self.is_running = False
            raise ChallengerError(cause)
        return ["differed" if item.any() else "agreed" for item, _ in batch]

    def end(self) -> None:
        self.is_running = False

    def dismiss(self) -> None:
        self.is_dismissed = True


class Told:
    """What the metrics would be told."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def __call__(self, version: str, outcome: str, number: int) -> None:
        assert version == "9"
        self.counts[outcome] += number


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def scoring(fake: Fake, told: Told) -> Scoring:
    challenger: Any = fake
    return Scoring(challenger, told)


def note(scoring: Scoring, items: int, by: Release = THIRD, item: Any = ITEM) -> None:
    for _ in range(items):
        scoring.note(by, item, OUTPUT)


def test_all_outcomes_have_a_value_from_the_start(scoring: Scoring, told: Told) -> None:
    assert told.counts == {"agreed": 0, "differed": 0, "failed": 0, "skipped": 0}
    assert scoring.counts() == {}


def test_what_was_answered_is_counted_by_the_version_that_did(scoring: Scoring, fake: Fake, told: Told) -> None:
    note(scoring, 2)
    note(scoring, 1, item=np.ones(8))
    note(scoring, 4, by=FOURTH)
    scoring._ask()
    assert scoring.counts() == {"3": {"agreed": 2, "differed": 1}, "4": {"agreed": 4}}
    assert told.counts == {"agreed": 6, "differed": 1, "failed": 0, "skipped": 0}
    assert (fake.loads, fake.batches) == (1, [7])
    scoring._ask()
    assert (fake.loads, fake.batches) == (1, [7])


def test_another_form_of_answer_is_another_answer_and_is_not_asked_for(scoring: Scoring, fake: Fake) -> None:
    note(scoring, 2, by=release("5", Labels(("b", "a"))))
    note(scoring, 1, by=release("6", Labels(("a", "b"))))
    scoring._ask()
    assert scoring.counts() == {"5": {"differed": 2}, "6": {"agreed": 1}}
    assert fake.batches == [1]


@pytest.mark.parametrize(("items", "bytes_"), [(5, 2**30), (2**30, 5 * (8 + 8) + 1)])
def test_what_does_not_fit_is_skipped(
    scoring: Scoring, monkeypatch: pytest.MonkeyPatch, items: int, bytes_: int
) -> None:
    monkeypatch.setattr(module, "MOST_ITEMS", items)
    monkeypatch.setattr(module, "MOST_BYTES", bytes_)
    for _ in range(2):  # there is room again when it was asked
        note(scoring, 7)
        scoring._count_skipped()
        scoring._ask()
    assert scoring.counts() == {"3": {"agreed": 10, "skipped": 4}}


def test_of_several_batches_the_one_under_way_fails(
    scoring: Scoring, fake: Fake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MOST_BATCH_ITEMS", 4)
    fake.fails_on = {2: "no answer within 30 s"}
    note(scoring, 10)
    scoring._ask()
    assert fake.batches == [4, 4]
    assert scoring.counts() == {"3": {"agreed": 4, "failed": 4, "skipped": 2}}
    assert caplog.messages == ["Version 9, the challenger, failed: no answer within 30 s. It is started again in 1 s."]
    note(scoring, 1)  # while it rests
    scoring._count_skipped()
    assert scoring.counts()["3"]["skipped"] == 3
    assert time.monotonic() < scoring._rests_until <= time.monotonic() + 1
    scoring._ask()
    note(scoring, 1)
    scoring._ask()
    assert scoring.counts()["3"]["agreed"] == 5


def test_what_waits_for_one_that_does_not_load_fails_and_pauses_grow(
    scoring: Scoring, fake: Fake, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_PAUSE_SECONDS", 5.0)
    fake.does_not_load = "no graph"
    note(scoring, 3)
    for _ in range(5):
        scoring._ask()
    assert scoring.counts() == {"3": {"failed": 3}}
    assert [message.split(" again in ")[1] for message in caplog.messages] == ["1 s.", "2 s.", "4 s.", "5 s.", "5 s."]
    fake.does_not_load = ""
    scoring._ask()
    monkeypatch.setattr(module, "STEADY_SECONDS", 0.0)  # as if it had been up for long
    fake.fails_on = {1: "crashed"}
    note(scoring, 1)
    scoring._ask()
    assert caplog.messages[-1].endswith("crashed. It is started again in 1 s.")


def test_one_that_ends_unasked_rests_too(scoring: Scoring, fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    scoring._ask()
    fake.is_running = False
    scoring._ask()
    assert "its process ended while it was asked nothing" in caplog.text
    assert (scoring._rests_until > 0, scoring.counts()) == (True, {})


def test_it_asks_by_itself_and_at_its_end_what_waits_is_skipped(
    scoring: Scoring, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EVERY_SECONDS", 0.01)
    note(scoring, 1)
    scoring.start()
    deadline = time.monotonic() + 10
    while scoring.counts() != {"3": {"agreed": 1}}:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    scoring._rests_until = time.monotonic() + 60
    time.sleep(0.05)
    note(scoring, 2)
    scoring.end()
    note(scoring, 4)
    assert not scoring.is_alive()
    assert fake.is_dismissed
    assert scoring.counts() == {"3": {"agreed": 1, "skipped": 2}}


def test_large_items_come_alone() -> None:
    asked = [module.Asked(THIRD, None, None, bytes) for bytes in (10, 2**20, 10, 2**22, 2**19, 2**19)]
    assert [[one.bytes for one in batch] for batch in batches(asked)] == [
        [10],
        [2**20],
        [10],
        [2**22],
        [2**19, 2**19],
    ]
    assert list(batches([])) == []


def test_how_much_memory_values_take() -> None:
    assert size(np.zeros((3, 4), np.float32)) == 48
    assert size({"a": np.zeros(3, np.uint8), "b": np.zeros(5, np.uint8)}) == 8
    assert size(np.array([1.5, None], dtype=object)) == 80
    assert size([[1, 2], [3, 4]]) == 64 + 2 * (8 + 64 + 2 * (8 + 32))
    assert size([]) == 64
