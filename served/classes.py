"""Which class each place is of."""

import numpy as np


def likeliest(probabilities: np.ndarray) -> np.ndarray:
    """The class of each place (*sides) uint8 by probabilities (*sides, classes). Row by row: what numpy finds places by
    takes eight times as much memory."""
    found = np.empty(probabilities.shape[:-1], np.uint8)
    for row, of_row in zip(found, probabilities, strict=True):
        row[...] = of_row.argmax(axis=-1)
    return found
