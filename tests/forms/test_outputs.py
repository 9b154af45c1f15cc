from __future__ import annotations

import numpy as np

from contract.items import Ragged
from forms.outputs import batches_of

WHOLE = np.arange(6.0).reshape(3, 2)
ROWS = [np.zeros((2, 3)), np.ones((4, 1))]


def test_an_array_is_one_batch() -> None:
    (batch,) = batches_of(WHOLE)
    assert batch is WHOLE
    (batch,) = batches_of({"first": WHOLE, "second": WHOLE})
    assert batch["second"] is WHOLE


def test_rows_of_different_shapes_are_a_batch_each() -> None:
    found = batches_of(Ragged(ROWS))
    assert [batch.shape for batch in found] == [(1, 2, 3), (1, 4, 1)]
    named = batches_of({"mask": Ragged(ROWS), "size": np.array([7, 8])})
    assert [(batch["mask"].shape, batch["size"].tolist()) for batch in named] == [((1, 2, 3), [7]), ((1, 4, 1), [8])]
    np.testing.assert_array_equal(named[1]["mask"][0], ROWS[1])
