from __future__ import annotations

import numpy as np
import pytest

from served.features import DISTANCE, Hidden, of_answers, of_columns, of_pictures, of_values

GREY = np.zeros((2, 4, 6), np.uint8)
GREY[0, 1, 5] = 255  # one white pixel; the other picture is black


def test_a_picture_is_where_its_light_is() -> None:
    found = of_pictures(GREY)
    assert found["brightness"].tolist() == pytest.approx([1 / 24, 0])
    assert found["centre of mass, across"].tolist() == pytest.approx([1, 0.5])
    assert found["centre of mass, down"].tolist() == pytest.approx([1 / 3, 0.5])
    assert found["light part"].tolist() == pytest.approx([1 / 24, 0])
    # Down: 2 of 18 differences are 1. Across, at the edge: 1 of 20.
    assert found["sharpness"].tolist() == pytest.approx([np.sqrt(2 / 18 + 1 / 20), 0])


def test_colours_are_told_apart() -> None:
    picture = np.zeros((1, 2, 2, 3), np.uint8)
    picture[..., 1] = 51
    found = of_pictures(picture)
    assert [found[name].item() for name in ("red", "green", "blue")] == pytest.approx([0, 0.2, 0])
    assert found["brightness"].item() == pytest.approx(0.2 / 3)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 5), (2, 1, 1, 3)])
def test_the_smallest_pictures_have_features(shape: tuple[int, ...]) -> None:
    for values in of_pictures(np.full(shape, 7, np.uint8)).values():
        assert values.shape == shape[:1]
        assert np.isfinite(values).all()


def test_numbers_and_columns() -> None:
    rows = np.array([[1, 2, 6], [0, 0, 0]], np.float32)
    assert of_values(rows)["mean"].tolist() == [3, 0]
    assert of_values(rows)["largest"].tolist() == [6, 0]
    assert of_columns(rows, ["a", "b", "c"])["c"].tolist() == [6, 0]


def test_the_hidden_layer_is_seen_along_its_components_and_beside_them() -> None:
    hidden = Hidden(np.array([1, 0, 0]), np.array([[0, 1, 0]]), np.array([2.0]))
    found = hidden.features(np.array([[1, 4, 0], [4, 0, 4]], np.float32))
    assert found["hidden layer, component 1"].tolist() == pytest.approx([2, 0])
    assert found[DISTANCE].tolist() == pytest.approx([0, 5])


def test_answers_are_probabilities_or_a_number() -> None:
    shares = np.array([[0.2, 0.8]], np.float32)
    assert list(of_answers({"output_0": shares}, {"": ["no", "yes"]})) == ["probability of no", "probability of yes"]
    several = of_answers({"kind": shares, "size": np.ones((1, 1))}, {"kind": ["no", "yes"]})
    assert list(several) == ["kind: probability of no", "kind: probability of yes"]
    assert list(of_answers({"kind": shares}, {"kind": ["no", "yes"]})) == list(several)
    assert of_answers({"output_0": np.array([[3.0, 2.0, 4.0]])}, {})["answer"].tolist() == [3]
    assert of_answers({"output_0": np.ones((1, 5, 5, 2))}, {}) == {}
