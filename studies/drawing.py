"""Figures of a study. Every function returns a Matplotlib figure that no global state knows of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from studies.outcome import Outcome
from studies.statistics import Difference, summarize
from tasks.contract import Primary

# Okabe & Ito 2008: eight colours that people of any colour vision tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B8A800")
MOST_CURVES = len(COLOURS)


def results(outcome: Outcome) -> Figure:
    """A row a variant: every seed's value, their mean with its 95 % interval, and the mean on the training split."""
    variants = [variant for variant in outcome.study.variants if outcome.of(variant)]
    figure = Figure(figsize=(8.4, 0.42 * len(variants) + 1.3), layout="constrained")
    axes = figure.subplots()
    for row, variant in enumerate(variants):
        values = list(outcome.values(variant, outcome.metric).values())
        trained = summarize(list(outcome.values(variant, f"trained_{outcome.primary.name}").values()))
        summary = summarize(values)
        axes.scatter(values, [row] * len(values), s=18, color=COLOURS[0], alpha=0.45, linewidths=0, label="a seed")
        axes.errorbar(
            summary.mean,
            row,
            xerr=None if math.isnan(summary.half_width) else summary.half_width,
            color=COLOURS[0],
            marker="|",
            markersize=14,
            markeredgewidth=2,
            capsize=3,
            label="mean, 95 % interval",
        )
        axes.scatter(
            trained.mean, row, s=36, marker="D", facecolors="none", edgecolors=COLOURS[1], label="training split"
        )
    axes.set_yticks(range(len(variants)), variants)
    axes.set_ylim(len(variants) - 0.4, -0.6)
    axes.set(xlabel=f"{outcome.primary.name}, validation split")
    axes.grid(axis="x", alpha=0.3)
    _as_share(axes.xaxis, outcome)
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))  # every row has drawn all three
    figure.legend(once.values(), once.keys(), loc="outside upper center", ncols=3, frameon=False)
    return figure


def curves(outcome: Outcome) -> Figure:
    """Loss and primary metric by epoch: means over the seeds, validation with a band from lowest to highest."""
    variants = _shown(outcome)
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", outcome.primary.name), strict=True):
        for colour, variant in zip(COLOURS, variants, strict=False):
            _curve(axes, outcome, variant, name, colour)
        axes.set(xlabel="epoch", ylabel=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        if name == "loss":
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        else:
            _as_share(axes.yaxis, outcome)
            _leave_out_the_start(axes, outcome, variants)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
    return figure


def differences(found: Sequence[Difference], outcome: Outcome) -> Figure:
    """Every comparison with its 95 % interval; what is distinguishable is full, the rest pale."""
    scale, unit = (100, "points") if outcome.primary.share else (1, outcome.primary.name)
    figure = Figure(figsize=(8.4, 0.42 * len(found) + 1.1), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="grey", linewidth=1)
    for row, one in enumerate(found):
        width = 0.0 if math.isnan(one.half_width) else scale * one.half_width
        alpha = 1 if one.distinguishable else 0.4
        axes.errorbar(scale * one.mean, row, xerr=width, color=COLOURS[0], marker="o", capsize=3, alpha=alpha)
    axes.set_yticks(range(len(found)), [f"{one.first} − {one.second}" for one in found])
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set(xlabel=f"difference in {outcome.primary.name}, {unit}" if unit == "points" else f"difference in {unit}")
    axes.grid(axis="x", alpha=0.3)
    return figure


def by_examples(outcome: Outcome) -> Figure:
    """Primary metric on both splits along the number of training examples."""
    figure = Figure(figsize=(8.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for split, metric, colour in (("training", "trained", COLOURS[1]), ("validation", "val", COLOURS[0])):
        points = sorted(
            (repeat.metrics["train_examples"], repeat.metrics[f"{metric}_{outcome.primary.name}"])
            for repeat in outcome.repeats
            if not repeat.failure
        )
        sizes = sorted({size for size, _ in points})
        rows = [[value for at, value in points if at == size] for size in sizes]
        axes.plot(sizes, [np.mean(row) for row in rows], color=colour, marker="o", label=f"{split} split")
        axes.fill_between(sizes, [min(row) for row in rows], [max(row) for row in rows], color=colour, alpha=0.2)
    axes.axhline(outcome.primary.attainable, color="grey", linestyle="--", linewidth=1, label="attainable")
    axes.set(xscale="log", xlabel="training examples", ylabel=outcome.primary.name)
    axes.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    _as_share(axes.yaxis, outcome)
    axes.legend(frameon=False)
    return figure


def trials(completed: Sequence[Any], primary: Primary) -> Figure:
    """A panel a searched field: the primary metric of every completed trial, the best one marked.

    Args:
        completed: Optuna's trials, best first.
        primary: Names the metric.
    """
    names = sorted({name for trial in completed for name in trial.params})
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3.8 * columns, 3.2 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes in panels.flat[len(names) :]:
        axes.axis("off")
    for axes, name in zip(panels.flat, names, strict=False):
        numeric = hasattr(completed[0].distributions[name], "low")
        values = [trial.params[name] if numeric else str(trial.params[name]) for trial in completed]
        axes.scatter(values, [trial.value for trial in completed], color=COLOURS[0], alpha=0.6)
        axes.scatter(values[0], completed[0].value, s=90, facecolors="none", edgecolors=COLOURS[1], linewidths=2)
        if numeric and completed[0].distributions[name].log:
            axes.set_xscale("log")
        axes.set_xlabel(name)
        axes.grid(alpha=0.3)
        if primary.share:
            axes.yaxis.set_major_formatter(FuncFormatter(_percent))
    for row in panels:
        row[0].set_ylabel(f"val_{primary.name}")
    return figure


def _shown(outcome: Outcome) -> list[str]:
    """The variants whose curves fit into one figure: the best ones, in the study's order."""
    done = [variant for variant in outcome.study.variants if outcome.of(variant)]
    means = {variant: np.mean(list(outcome.values(variant, outcome.metric).values())) for variant in done}
    best = sorted(done, key=lambda variant: -outcome.primary.sign * means[variant])[:MOST_CURVES]
    return [variant for variant in done if variant in best]


def _curve(axes: Axes, outcome: Outcome, variant: str, name: str, colour: str) -> None:
    for split in ("train", "val"):
        found = [repeat.curves[f"{split}_{name}"] for repeat in outcome.of(variant)]
        shortest = min(map(len, found))
        rows = np.array([curve[:shortest] for curve in found])
        epochs = np.arange(1, rows.shape[1] + 1)
        style, label = ("--", None) if split == "train" else ("-", variant)
        axes.plot(epochs, rows.mean(axis=0), color=colour, linestyle=style, linewidth=1.4, label=label)
        if split == "val":
            axes.fill_between(epochs, rows.min(axis=0), rows.max(axis=0), color=colour, alpha=0.15, linewidth=0)


def _leave_out_the_start(axes: Axes, outcome: Outcome, variants: Sequence[str]) -> None:
    """Limits the axis to where the curves come apart; the first epochs would press them together."""
    name = f"val_{outcome.primary.name}"
    rows = [repeat.curves[name] for variant in variants for repeat in outcome.of(variant)]
    later = [value for row in rows for value in row[len(row) // 5 :]]
    room = 0.1 * (max(later) - min(later)) or 0.01
    if outcome.primary.higher_is_better:
        axes.set_ylim(bottom=min(later) - room)
    else:
        axes.set_ylim(top=max(later) + room)


def _as_share(axis: object, outcome: Outcome) -> None:
    if outcome.primary.share:
        axis.set_major_formatter(FuncFormatter(_percent))  # type: ignore[attr-defined]


def _percent(value: float, _: int) -> str:
    return f"{100 * value:.4g} %"
