"""What was watched, as one page that needs nothing but itself."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from monitoring import drawing
from monitoring.profile import Profile
from monitoring.verdict import Verdict
from monitoring.windows import Watched
from pages.page import page, svg

TEMPLATE = Path(__file__).with_name("report.html")


def html(task: str, windows: Sequence[Watched], profiles: Mapping[str, Profile], verdict: Verdict) -> str:
    """The page.

    Args:
        task: Whose models were watched.
        windows: As `verdict.corrected` gives them, the latest last.
        profiles: Of the versions that have one.
        verdict: On these windows.
    """
    figures = [(caption, svg(figure, "monitor")) for caption, figure in _figures(windows, profiles)]
    return page(TEMPLATE, task=task, windows=windows, verdict=verdict, figures=figures, time=_time, profiles=profiles)


def _figures(windows: Sequence[Watched], profiles: Mapping[str, Profile]) -> Iterator[tuple[str, Figure]]:
    if not windows:
        return
    for source, profile in profiles.items():
        of_version = [one for one in windows if one.source == source]
        for output, calibration in profile.calibrations.items():
            if any(output in one.mix for one in of_version):
                yield (
                    f"{source}: accuracy by window. An estimate stands where calibrated confidence can be believed; "
                    "where answers moved as in trials in which it was wrong, none is given.",
                    drawing.accuracy(of_version, output, calibration.accuracy),
                )
                shares = profile.mixes[output].counts / profile.mixes[output].counts.sum()
                before = dict(zip(profile.labels[output], shares.tolist(), strict=True))
                yield f"{source}: what was answered.", drawing.mixes(of_version, output, before)
        for output, error in profile.errors.items():
            if any(output in one.errors for one in of_version):
                yield f"{source}: mean absolute error by window.", drawing.errors(of_version, output, error)
    if any(one.findings for one in windows):
        yield (
            "Severity: how far a feature's distribution is from the validation split's, 0 to 1, without what chance "
            "makes of it. A ring marks what is no chance, all features and windows taken into account.",
            drawing.severities([one for one in windows if one.findings]),
        )
    yield "Load, and quantiles of the time to answer.", drawing.operation(windows)


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%d %b %H:%M")
