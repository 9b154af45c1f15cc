"""What was found by whoever watches over a model, told to Prometheus by those that serve it.

Whoever watches leaves it beside the record of traffic, a file a model: {"metrics": [{"name", "help", "labels",
"value"}, ...]}, so that a version tells also what later code has found of it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PREFIX = "model_"  # of the names; others are left out
VERDICTS = "verdict-*.json"


def file_of(name: str) -> str:
    """The name of the file about a registered model."""
    return f"verdict-{name}.json"


class Found:
    """Gives prometheus_client what was found last, as gauges; none where there is no record, or nobody watches.

    Args:
        folder: Of the record, or in which that waits to be sent; None where there is none.
        name: Of the registered model, "" where it is not known.
    """

    def __init__(self, folder: Path | None, name: str) -> None:
        self._file = folder / file_of(name) if folder and name else None

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        families: dict[str, GaugeMetricFamily] = {}
        for metric in self._read():
            names = list(metric["labels"])
            family = families.setdefault(metric["name"], GaugeMetricFamily(metric["name"], metric["help"], None, names))
            family.add_metric([str(value) for value in metric["labels"].values()], float(metric["value"]))
        yield from families.values()

    def _read(self) -> list[dict[str, Any]]:
        """Empty where there is no such file, or something else in its place: all other metrics go on."""
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))["metrics"] if self._file else []
            return [one for one in content if _is_metric(one)]
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return []


def _is_metric(one: Any) -> bool:
    return (
        str(one["name"]).startswith(PREFIX)
        and str(one["name"]).isidentifier()
        and isinstance(one["labels"], dict)
        and all(str(name).isidentifier() for name in one["labels"])
        and isinstance(one["value"], int | float)
        and isinstance(one["help"], str)
    )
