"""Numbers, of any shape, that nobody would draw or photograph."""

from __future__ import annotations

from dataclasses import dataclass

from forms.item import Item


@dataclass(frozen=True)
class Values(Item):
    """Items of any shape, uint8 or float32."""


FORM = Values
