"""What follows from the moves of a ledger."""

from __future__ import annotations

from registry.ledger import (
    Kind,
    Move,
    earlier_champions,
    replaced_champions,
    rolled_back,
)


def chain(*steps: tuple[Kind, str | None]) -> list[Move]:
    moves: list[Move] = []
    for kind, after in steps:
        moves.append(Move(len(moves) + 1, kind, moves[-1].after if moves else None, after, ""))
    return moves


def test_two_rollbacks_lead_two_promotions_back() -> None:
    moves = chain(("promotion", "1"), ("promotion", "2"), ("promotion", "3"))
    assert earlier_champions(moves) == ["2", "1"]
    moves = chain(*((m.kind, m.after) for m in moves), ("rollback", "2"))
    assert earlier_champions(moves) == ["1"]
    moves = chain(*((m.kind, m.after) for m in moves), ("rollback", "1"))
    assert earlier_champions(moves) == []
    assert rolled_back(moves).keys() == {"2", "3"}


def test_a_promotion_after_a_rollback_goes_on_from_there() -> None:
    moves = chain(("promotion", "1"), ("promotion", "2"), ("rollback", "1"), ("promotion", "3"))
    assert earlier_champions(moves) == ["1"]
    assert rolled_back(moves).keys() == {"2"}


def test_a_version_that_is_promoted_again_is_no_longer_rolled_back() -> None:
    moves = chain(("promotion", "1"), ("promotion", "2"), ("rollback", "1"), ("promotion", "2"))
    assert rolled_back(moves) == {}
    assert earlier_champions(moves) == ["1"]


def test_a_rollback_leads_to_the_latest_time_that_a_version_served() -> None:
    moves = chain(("promotion", "1"), ("promotion", "2"), ("promotion", "1"), ("promotion", "3"))
    assert earlier_champions(moves) == ["1", "2", "1"]
    assert earlier_champions([*moves, Move(5, "rollback", "3", "1", "")]) == ["2"]


def test_a_rollback_never_leads_to_the_champion_itself() -> None:
    assert earlier_champions(chain(("promotion", "1"), ("by hand", None), ("by hand", "1"))) == []


def test_weights_that_were_rolled_back_are_known_until_they_come_back() -> None:
    moves = [
        Move(1, "promotion", None, "1", "", weights="a"),
        Move(2, "promotion", "1", "2", "", weights="b"),
        Move(3, "rollback", "2", "1", ""),
    ]
    assert rolled_back(moves) == {"2": "b"}
    again = Move(4, "promotion", "1", "3", "", weights="b")  # the same weights as another version
    assert rolled_back([*moves, again]) == {}


def test_after_the_alias_was_removed_the_last_champion_is_an_earlier_one() -> None:
    assert earlier_champions(chain(("promotion", "1"), ("promotion", "2"), ("by hand", None))) == ["2", "1"]
    assert earlier_champions([]) == []


def test_replaced_champions_are_those_that_were_not_taken_out_of_service() -> None:
    moves = chain(("promotion", "1"), ("promotion", "2"), ("promotion", "3"))
    assert replaced_champions([]) == []
    assert replaced_champions(moves[:1]) == []
    assert replaced_champions(moves) == ["1", "2"]
    back = chain(*((m.kind, m.after) for m in moves), ("rollback", "2"), ("promotion", "4"))
    assert replaced_champions(back) == ["1", "2"]
    again = chain(*((m.kind, m.after) for m in back), ("promotion", "3"))
    assert replaced_champions(again) == ["1", "2", "4"]
    assert replaced_champions([*again, Move(7, "promotion", "3", "5", "")]) == ["1", "2", "3", "4"]


def test_a_hand_that_goes_back_takes_out_of_service_and_one_that_goes_on_does_not() -> None:
    moves = chain(("promotion", "1"), ("promotion", "2"), ("by hand", "1"), ("promotion", "3"))
    assert replaced_champions(moves) == ["1"]
    moves = chain(("promotion", "1"), ("by hand", "2"), ("promotion", "3"))
    assert replaced_champions(moves) == ["1", "2"]
    moves = chain(("promotion", "1"), ("promotion", "2"), ("by hand", None))
    assert replaced_champions(moves) == ["1"]


def test_weights_that_were_rolled_back_are_no_measure_under_another_version_either() -> None:
    moves = [
        Move(1, "promotion", None, "1", "", weights="a"),
        Move(2, "promotion", "1", "2", "", weights="b"),
        Move(3, "promotion", "2", "3", "", weights="c"),
        Move(4, "promotion", "3", "4", "", weights="b"),
        Move(5, "rollback", "4", "3", ""),
    ]
    assert replaced_champions(moves) == ["1"]
