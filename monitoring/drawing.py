"""Figures of a monitoring report. Every function returns a Matplotlib figure that no global state knows of."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from monitoring.drift import LEVEL
from monitoring.estimate import Estimate
from monitoring.windows import QUANTILES, Measured, Watched

# Okabe & Ito 2008: colours that people of any colour vision tell apart.
MEASURED, ESTIMATED, LATENCY = "#D55E00", "#0072B2", ("#56B4E9", "#0072B2", "#000000")
SECONDS_A_DAY = 86_400
MOST_FEATURES = 14  # of a figure, the gravest


def accuracy(windows: Sequence[Watched], output: str, expected: float) -> Figure:
    """The accuracy of one output by window, as labels tell and as it is estimated, with 95 % intervals."""
    figure = Figure(figsize=(8.4, 3.0), layout="constrained")
    axes = figure.subplots()
    axes.axhline(expected, color="grey", linestyle="--", label="on the validation split")
    known = [(one, one.estimates.get(output), one.measured.get(output)) for one in windows]
    estimates = [(one, value) for one, value, _ in known if value and value.value is not None]
    _intervals(axes, estimates, ESTIMATED, "o", "estimated, without labels")
    _intervals(axes, [(one, value) for one, _, value in known if value], MEASURED, "D", "measured, by labels")
    withheld = [_time(one) for one, value, _ in known if value and value.value is None]
    if withheld:
        axes.scatter(
            withheld, [axes.get_ylim()[0]] * len(withheld), marker="x", color="grey", label="estimate withheld"
        )
    axes.set(ylabel=f"accuracy{output and ' of '}{output}")
    _by_time(axes, windows)
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    return figure


def errors(windows: Sequence[Watched], output: str, expected: float) -> Figure:
    """The mean absolute error of one output by window, as labels tell, with 95 % intervals."""
    figure = Figure(figsize=(8.4, 3.0), layout="constrained")
    axes = figure.subplots()
    axes.axhline(expected, color="grey", linestyle="--", label="on the validation split")
    known = [(one, one.errors[output]) for one in windows if output in one.errors]
    _intervals(axes, known, MEASURED, "D", "measured, by labels")
    axes.set(ylabel=f"mean absolute error{output and ' of '}{output}", ylim=(0, None))
    _by_time(axes, windows)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return figure


def _intervals(
    axes: Axes, found: Sequence[tuple[Watched, Estimate | Measured]], colour: str, marker: str, label: str
) -> None:
    if found:
        values = np.array([(one.value, one.low, one.high) for _, one in found], float)
        apart = np.abs(values[:, 1:].T - values[:, 0])
        times = [_time(window) for window, _ in found]
        axes.errorbar(times, values[:, 0], apart, fmt=marker, color=colour, capsize=3, label=label)


def severities(windows: Sequence[Watched]) -> Figure:
    """How far each feature is from the validation split, window by window; a ring where that is no chance."""
    worst: dict[str, float] = {}
    for one in windows:
        for found in one.findings:
            worst[found.name] = max(worst.get(found.name, 0), found.severity)
    names = sorted(worst, key=lambda name: -worst[name])[:MOST_FEATURES]
    values = np.full((len(names), len(windows)), np.nan)
    rings = []
    for column, one in enumerate(windows):
        for found in one.findings:
            if found.name in names:
                row = names.index(found.name)
                values[row, column] = found.severity
                if found.probability <= LEVEL:
                    rings.append((column, row))
    figure = Figure(figsize=(8.4, 0.27 * len(names) + 1.1), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(values, cmap="YlOrRd", vmin=0, vmax=max(0.3, np.nanmax(values, initial=0)), aspect="auto")
    if rings:
        axes.scatter(
            [column for column, _ in rings],
            [row for _, row in rings],
            s=26,
            facecolors="none",
            edgecolors="black",
            label="no chance",
        )
    axes.set_yticks(range(len(names)), names)
    step = max(1, -(-len(windows) // 4))  # more would run into each other
    axes.set_xticks(range(0, len(windows), step), [f"{_middle(one):%d %b %H:%M}" for one in windows[::step]])
    figure.colorbar(picture, label="severity")
    return figure


def operation(windows: Sequence[Watched]) -> Figure:
    """Load and time to answer by window."""
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    load, seconds = figure.subplots(2, 1, sharex=True)
    load.step([_time(one) for one in windows], [one.load for one in windows], where="mid", marker=".", color=ESTIMATED)
    load.set(ylabel="items/s", ylim=(0, None))
    load.grid(alpha=0.3)
    answered = [one for one in windows if one.seconds]
    for place, quantile in enumerate(QUANTILES):
        values = [1000 * one.seconds[place] for one in answered]
        times = [_time(one) for one in answered]
        seconds.plot(times, values, marker=".", color=LATENCY[place], label=f"{100 * quantile:.0f} %")
    seconds.set(ylabel="ms to answer", yscale="log")
    seconds.yaxis.set_major_formatter("{x:g}")
    seconds.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    seconds.yaxis.set_minor_formatter("{x:g}")
    seconds.legend(ncols=3, frameon=False)
    _by_time(seconds, windows)
    return figure


def mixes(windows: Sequence[Watched], output: str, before: Mapping[str, float]) -> Figure:
    """Shares of the predicted labels over all windows, beside those on the validation split."""
    items = np.array([one.items for one in windows if output in one.mix], float)
    shares = [list(one.mix[output].values()) for one in windows if output in one.mix]
    now = np.average(shares, axis=0, weights=items)
    figure = Figure(figsize=(8.4, 2.8), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(before))
    axes.bar(places - 0.2, list(before.values()), 0.4, color="lightgrey", label="validation split")
    axes.bar(places + 0.2, now, 0.4, color=ESTIMATED, label="served")
    slanted = max(map(len, before)) > 4
    axes.set_xticks(places, list(before), rotation=30 if slanted else 0, ha="right" if slanted else "center")
    axes.set(ylabel=f"share of the answers{output and ' of '}{output}")
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return figure


def _middle(window: Watched) -> datetime.datetime:
    """Of the window, in UTC."""
    return datetime.datetime.fromtimestamp((window.begin + window.end) / 2, datetime.UTC)


def _time(window: Watched) -> float:
    """Its middle, as Matplotlib counts days."""
    return float(date2num(_middle(window)))  # type: ignore[no-untyped-call]


def _by_time(axes: Axes, windows: Sequence[Watched]) -> None:
    half = (windows[0].end - windows[0].begin) / 2 / SECONDS_A_DAY
    axes.set_xlim(_time(windows[0]) - half, _time(windows[-1]) + half)
    locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.grid(alpha=0.3)
