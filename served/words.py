"""Values as words: how a column whose values are words is asked about with numbers, or with true and false."""

from typing import Any

import numpy as np


def as_word(value: Any) -> Any:
    """What a number, or true or false, is written as; anything else, and what is missing, as it is."""
    if isinstance(value, float | np.floating):
        return str(int(value)) if value.is_integer() else str(value) if value == value else value
    return str(value) if isinstance(value, bool | np.bool_ | int | np.integer) else value
