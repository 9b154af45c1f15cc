import numpy as np

from tasks.contract import get_task


def test_values_and_sizes() -> None:
    task = get_task("digits")
    sizes = {name: len(task.load(name)) for name in ("train", "validation", "test")}
    assert sizes == {"train": 1077, "validation": 360, "test": 360}
    train = task.load("train")
    assert train.inputs.dtype == np.uint8
    assert train.inputs.shape[1:] == (8, 8)
    assert (train.inputs.min(), train.inputs.max()) == (0, 16)
    assert set(train.targets) == set(range(10))
