"""What a server of predictions tells Prometheus."""

import logging
import os
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from .machine import is_one_of_several
from .record_files import record_folder
from .refusal import KINDS
from .verdicts import Found

logger = logging.getLogger("uvicorn.error")  # the scoring server shows it, and no other

SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
CONFIDENCES = (0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1)
Labels = dict[str, list[str]]
# Requests are added up so many at a time: one by one that takes a good part of a small request.
MOST_SEEN = 256
SHARED_SECONDS = 1.0  # after which a worker has told the others what it has seen
IN_A_CONTAINER = ("/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io")


class Seen(NamedTuple):
    """A request that was answered.

    Attributes:
        seconds: That it took.
        items: That it was about.
        probabilities: Of the labels of an output (items, labels), with the output's name and the labels.
    """

    seconds: float
    items: int
    probabilities: list[tuple[str, list[str], np.ndarray]]


class Metrics:
    """Counters and histograms.

    Args:
        registry: Of prometheus_client, which has what was seen added up whenever it is asked; None where workers count
            in files that they share, which are at most a second behind.
        name: Of the registered model, "" where it is not known.
        version: Of the registered model, "" where it is not known.
        labels: Names of the classes, in the order in which an output has their probabilities, by the output's name,
            which is empty where there is one; outputs that are no probabilities are left out.
    """

    def __init__(self, registry: Any, name: str, version: str, labels: Labels) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        self._seen: deque[Seen] = deque()
        self._counting = threading.Lock()
        if registry is None:
            threading.Thread(target=self._share, daemon=True).start()
        else:
            registry.register(self)  # the first that is asked

        def histogram(metric: str, help_: str, *buckets: float) -> Any:
            return Histogram(metric, help_, buckets=buckets, registry=registry)

        def counter(metric: str, help_: str, *labels: str) -> Any:
            return Counter(metric, help_, labels, registry=registry)

        self._info = Gauge(
            "model_info",
            "1; the labels say what is served",
            ["name", "version"],
            registry=registry,
            multiprocess_mode="max",
        )
        self._info.labels(name, version).set(1)
        self._requests = counter("model_requests", "Requests that reached the model")
        self._errors = counter("model_errors", "Requests without an answer, by reason", "kind")
        for kind in KINDS:  # a rate needs a value before the first error
            self._errors.labels(kind)
        self._predictions = counter("model_predictions", "Items by predicted class", "output", "label")
        self._confidences = Histogram(
            "model_confidence",
            "Probability of the predicted class",
            ["output"],
            buckets=CONFIDENCES,
            registry=registry,
        )
        # prometheus_client takes longer to find them.
        self._counters: dict[tuple[str, str], Any] = {}
        self._histograms: dict[str, Any] = {}
        self._labels = self._known(labels)
        self._recorded = counter("model_traffic_recorded", "Items that stand in the record of traffic")
        self._lost = counter("model_traffic_lost", "Items that should stand there, and do not")
        self._seconds = histogram("model_seconds", "Time to decode a request and run the model", *SECONDS)
        self._items = histogram("model_batch_items", "Items in a request", 1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)

    def _known(self, labels: Labels) -> Labels:
        """These labels; each has a value from now on, which a rate needs before the first prediction."""
        for output, names in labels.items():
            self._confidence(output)
            for label in names:
                self._counter(output, label)
        return labels

    def _counter(self, output: str, label: str) -> Any:
        """Of the items that got this label."""
        if (output, label) not in self._counters:
            self._counters[output, label] = self._predictions.labels(output, label)
        return self._counters[output, label]

    def _confidence(self, output: str) -> Any:
        """Of the probabilities in this output."""
        if output not in self._histograms:
            self._histograms[output] = self._confidences.labels(output)
        return self._histograms[output]

    def serves(self, name: str, version: str, labels: Labels) -> None:
        """Notes that another version answers from now on."""
        self._info.clear()
        self._info.labels(name, version).set(1)
        self._labels = self._known(labels)

    def refused(self, kind: str) -> None:
        """Counts a request without an answer, by the reason, one of KINDS."""
        self._requests.inc()
        self._errors.labels(kind).inc()

    def traffic(self, recorded: int, lost: int) -> None:
        """Counts items that were recorded, and such as could not be."""
        self._recorded.inc(recorded)
        self._lost.inc(lost)

    def observed(self, answer: Any, items: Any, labels: Labels | None = None) -> Any:
        """`answer(items)`, counted and timed.

        Args:
            answer: Gives the outputs for the items.
            items: What is asked about.
            labels: Those of the version that answers, where it may be another one than `serves` was told.
        """
        labels = self._labels if labels is None else labels
        started = time.perf_counter()
        try:
            outputs = answer(items)
        except Exception as error:
            self.refused(getattr(error, "kind", "internal"))
            raise
        seconds = time.perf_counter() - started
        first = next(iter(outputs.values())) if isinstance(outputs, dict) else outputs
        answers = [(output, names, outputs[output] if output else outputs) for output, names in labels.items()]
        self._seen.append(Seen(seconds, len(first), [one for one in answers if one[2].shape[1:] == (len(one[1]),)]))
        if len(self._seen) >= MOST_SEEN:
            self.collect()
        return outputs

    def collect(self) -> list[Any]:
        """Adds up what was seen since the last time. prometheus_client calls it before it reads any counter; there are
        none to add to its own."""
        with self._counting:
            seen = [self._seen.popleft() for _ in range(len(self._seen))]
        if seen:
            self._requests.inc(len(seen))
            observe(self._seconds, [one.seconds for one in seen])
            observe(self._items, [one.items for one in seen])
            self._count(seen)
        return []

    def _count(self, seen: list[Seen]) -> None:
        """Adds up the labels that were predicted."""
        answers: dict[tuple[str, ...], list[np.ndarray]] = {}
        for one in seen:
            for output, names, probabilities in one.probabilities:
                answers.setdefault((output, *names), []).append(probabilities)
        for (output, *names), parts in answers.items():
            probabilities = np.concatenate(parts)
            observe(self._confidence(output), probabilities.max(axis=1))
            for name, count in zip(names, np.bincount(probabilities.argmax(axis=1), minlength=len(names)), strict=True):
                self._counter(output, name).inc(int(count))

    def _share(self) -> None:
        while True:
            time.sleep(SHARED_SECONDS)
            self.collect()


def observe(histogram: Any, values: Sequence[float] | np.ndarray) -> None:
    """As the histogram's own `observe` for each value; prometheus_client has nothing for many."""
    histogram._sum.inc(float(np.sum(values)))
    buckets = np.searchsorted(histogram._upper_bounds, values)
    for bucket, count in zip(*np.unique(buckets, return_counts=True), strict=True):
        histogram._buckets[bucket].inc(int(count))


def serve_metrics(model_path: Path, labels: Labels) -> Metrics | None:
    """Opens the metrics' port, `METRICS_PORT` (9464 where nothing is set, 0 for none) at `METRICS_HOST` (this machine
    alone unless in a container). Of several workers one answers for all.

    Args:
        model_path: The model's folder.
        labels: As for Metrics.

    Returns:
        None where nobody is to be told.
    """
    try:
        port = int(os.environ.get("METRICS_PORT", "9464"))
    except ValueError:
        logger.warning("No metrics: METRICS_PORT must be a number, it is %r.", os.environ["METRICS_PORT"])
        return None
    everywhere = any(Path(sign).exists() for sign in IN_A_CONTAINER)  # others come in only where a port is published
    host = os.environ.get("METRICS_HOST", "0.0.0.0" if everywhere else "127.0.0.1")
    if port == 0:
        return None
    alone = not is_one_of_several()
    if not alone:
        # Read when prometheus_client is imported: the workers then count in files that whoever is asked adds up.
        try:
            shared = Path(tempfile.gettempdir(), f"model-metrics-{os.getppid()}")
            shared.mkdir(mode=0o700, exist_ok=True)
            if hasattr(os, "getuid") and shared.stat().st_uid != os.getuid():
                raise PermissionError(f"{shared} is somebody else's")
        except OSError as error:
            logger.warning("No metrics, there is no place for the workers to count at: %s", error)
            return None
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(shared)
    import prometheus_client
    from prometheus_client import multiprocess

    registry = prometheus_client.CollectorRegistry()
    if not alone:
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    name, version = registered_as(model_path)
    registry.register(Found(record_folder(), name))
    metrics = Metrics(registry if alone else None, name, version, labels)
    try:
        prometheus_client.start_http_server(port, host, registry)
    except OSError as error:
        if alone:  # else it is another worker that has the port, and answers for this one too
            logger.warning("No metrics at %s:%d: %s", host, port, error)
    return metrics


def registered_as(model_path: Path) -> tuple[str, str]:
    """Name and version of a model that came from the Model Registry, of which MLflow leaves a note; else empty."""
    note = model_path / "registered_model_meta"
    meta = yaml.safe_load(note.read_text(encoding="utf-8")) if note.exists() else {}
    return meta.get("model_name") or "", str(meta.get("model_version") or "")
