"""Figures of a training run, whatever the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


def curves(history: Mapping[str, Sequence[float]], epochs: Sequence[int]) -> Figure:
    """Learning curves: one panel a metric, training and validation in one.

    Args:
        history: Values by metric name, one an epoch: `train_<metric>` and `val_<metric>`.
        epochs: Numbers of the epochs, counted from 1.
    """
    names = sorted({name.split("_", 1)[1] for name in history}, key=lambda name: name != "loss")
    figure = Figure(figsize=(5.2 * len(names), 3.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False).flat, names, strict=True):
        for split in ("train", "val"):
            if (values := history.get(f"{split}_{name}")) is not None:
                axes.plot(epochs, values, marker="o", markersize=3, label=split)
        axes.set(xlabel="epoch", ylabel=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    return figure
