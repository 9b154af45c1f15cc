"""How models that earlier code logged say what they take and answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def as_now(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """A model's metadata as they would be written now.

    Version 1, which did not say so, had `presentation`: the answer's form with its labels, and the item's form under
    `picture`, or none where items were numbers.

    Raises:
        KeyError, TypeError, AttributeError: They are of no version.
    """
    if "presentation" not in metadata:
        return metadata
    presentation = metadata["presentation"]
    picture = presentation.get("picture")
    item: dict[str, Any] = {"form": "values"}
    if picture:
        item = {**picture, "form": picture["kind"], "any_size": None in metadata["item_shape"]}
    answer = {**presentation, "form": presentation["kind"], "ordered": item["form"] != "photograph"}
    return {**metadata, "item": item, "answer": answer}
