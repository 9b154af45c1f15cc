"""The served model: one file for every task, logged as code and run by MLflow's scoring server.

It needs the packages imported here, and nothing of this project: every version runs its own copy, whatever this project
has become. In a scoring server it also tells Prometheus what it does, on a port of its own:
`METRICS_PORT`, 9464 where nothing is set, 0 for none; at `METRICS_HOST`, this machine alone unless in a container.
"""

import binascii
import contextlib
import gc
import io
import logging
import math
import multiprocessing
import os
import re
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime reports to its makers; read when it is imported

import numpy as np
import onnxruntime
import yaml
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import BAD_REQUEST, INTERNAL_ERROR
from mlflow.pyfunc.model import PythonModel
from PIL import Image

logger = logging.getLogger("uvicorn.error")  # the scoring server shows it, and no other

# MLflow warns that it will not look into a union of types. That is what is wanted here: see predict.
logging.getLogger("mlflow.types.type_hints").setLevel(logging.ERROR)

# What the ONNX types that tasks use are called in numpy.
DTYPES: dict[str, np.dtype] = {"tensor(uint8)": np.dtype(np.uint8), "tensor(float)": np.dtype(np.float32)}
NUMBERS = (int, float, np.integer, np.floating)
# Why a request can be without an answer; "internal" is the model's own fault.
KINDS = ("type", "empty", "shape", "range", "encoding", "image", "internal")
SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
CONFIDENCES = (0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1)
CGROUP = Path("/sys/fs/cgroup")
IN_A_CONTAINER = ("/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io")
SAMPLE_SIDE = 32  # pixels, where a picture may have any
MOST_PIXELS = 2**20  # of the pictures of any size in a request; what running the model takes grows with them
MOST_SCANS = 100  # of a JPEG; encoders write about ten, and each is a pass over the whole picture
IMAGE_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
SCAN, END = b"\xff\xda", b"\xff\xd9"  # of a JPEG
# Within a scan 0xFF is followed by 0 or a restart marker, before a marker by itself too (ITU T.81, section B.1.1).
MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
# Tables, frames, scans, and JFIF's and Adobe's notes of which colours they are.
SEGMENTS = {bytes([kind]) for kind in (*range(0xC0, 0xD0), *range(0xD9, 0xDE), 0xE0, 0xEE)}
CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
MOST_PIECES = 50_000  # a PNG of 100 MB in the usual chunks of 8 kB has 12,000
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class OnnxModel(PythonModel):
    """Runs `model.onnx`. The shape and type of one item are read from the graph, preprocessing is inside it."""

    def load_context(self, context: Any) -> None:
        options = onnxruntime.SessionOptions()
        # Threads that spin while they wait take the cores from the server's other threads and workers.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.intra_op_num_threads = 1 if _one_of_several_workers() else _cpus()
        self._session = onnxruntime.InferenceSession(
            context.artifacts["onnx"], options, providers=["CPUExecutionProvider"]
        )
        graph_input = self._session.get_inputs()[0]
        self._input_name = graph_input.name
        # Of one item, without the batch; a side that may be any has a name in the graph, and here is None.
        self._shape = tuple(side if isinstance(side, int) else None for side in graph_input.shape[1:])
        self.any_size = None in self._shape
        self._dtype = DTYPES[graph_input.type]
        self._sent = self._dtype.newbyteorder("<")  # as raw values are sent
        sample = np.zeros([1, *(side or SAMPLE_SIDE for side in self._shape)], self._dtype)
        self._item_bytes = sample.nbytes
        self._run(sample)  # the first run takes longer; it is not a user's
        self._one_picture = threading.Lock()
        self._metrics: Metrics | None = None
        self._settled = True
        if "__pyfunc_model_path__" in os.environ:  # how MLflow tells its scoring server what to load
            self._metrics = serve_metrics(Path(context.artifacts["onnx"]).parent.parent)
            self._settled = False

    # The hint makes MLflow hand over what stands under "inputs" as it is. With a tensor signature it would copy nested
    # lists number by number, which takes most of a request's time, and would refuse strings.
    def predict(
        self, context: Any, model_input: list[list[Any] | str], params: Any = None
    ) -> np.ndarray | list[np.ndarray | str]:
        """The model's outputs for a list of items.

        Args:
            context: Not used.
            model_input: Items, each either raw values as nested lists or an array of the item's shape, or one string:
                base64 of a PNG or JPEG file of the item's size, or of the raw values in C order, little-endian.
                Pictures of any size, where that is what the model takes, come as files or as values (H, W, 3).
            params: Not used.

        Returns:
            Outputs of shape (items, ...). Of pictures of any size a list: each picture as values (H, W, 3) uint8, or
            where it came as a file, as base64 of a PNG file.

        Raises:
            MlflowException: BAD_REQUEST, the message says what was expected and what came; INTERNAL_ERROR where the
                model itself failed.
        """
        if not self._settled:
            # All that the server needs is loaded by now. Every full garbage collection would walk through it, some
            # 70 ms in the middle of a request.
            gc.freeze()
            self._settled = True
        if self._metrics is None:
            return self._answer(model_input)
        return self._metrics.observed(self._answer, model_input)

    def _answer(self, items: Any) -> np.ndarray | list[np.ndarray | str]:
        if not isinstance(items, list | np.ndarray):
            raise Refused("type", f"expected a list of items, received {type(items).__name__}")
        if len(items) == 0:
            raise Refused("empty", "expected at least one item, received none")
        if self.any_size:
            return self._pictures(items)
        # numpy takes longer over 64 small arrays than over one large one.
        raw = b"".join([self._decoded(item) if isinstance(item, str) else self._bytes(item) for item in items])
        batch = np.frombuffer(raw, self._sent).astype(self._dtype, copy=False).reshape(len(items), *self._shape)
        if self._dtype.kind == "f" and not np.isfinite(batch).all():
            raise Refused("range", "expected finite numbers only")
        outputs = self._run(batch)
        if not np.isfinite(outputs).all():
            raise Refused("range", "the model has no finite answer for this input")
        return outputs

    def _pictures(self, items: Any) -> list[np.ndarray | str]:
        """What is made of pictures of any size, which have to be few or small: all of them are in memory at once."""
        pictures, pixels = [], 0
        for item in items:
            pictures.append(self._checked(self._image(self._picture_file(item)) if isinstance(item, str) else item))
            pixels += pictures[-1].shape[0] * pictures[-1].shape[1]
            if pixels > MOST_PIXELS:
                raise Refused("shape", f"expected at most {MOST_PIXELS} pixels in all")
        return [self._picture(values, isinstance(item, str)) for values, item in zip(pictures, items, strict=True)]

    def _picture(self, values: np.ndarray, as_file: bool) -> np.ndarray | str:
        """What is made of one picture, as numbers or as a PNG file in base64."""
        with self._one_picture:  # a few large ones at once would take gigabytes
            made = np.rint(self._run(values[None])[0]).clip(0, 255).astype(np.uint8)
        if not as_file:
            return made
        buffer = io.BytesIO()
        Image.fromarray(made).save(buffer, "PNG", compress_level=1)  # the next level takes twice as long
        return binascii.b2a_base64(buffer.getvalue(), newline=False).decode()

    def _picture_file(self, text: str) -> bytes:
        data = self._file(text)
        if not data.startswith(IMAGE_SIGNATURES):
            raise Refused("encoding", "expected a string to be base64 of a PNG or JPEG file")
        return data

    def _run(self, batch: np.ndarray) -> np.ndarray:
        try:
            return np.asarray(self._session.run(None, {self._input_name: batch})[0])
        except Exception as error:  # ONNX Runtime has no common class of its own
            logger.exception("The model failed on a batch of shape %s.", batch.shape)
            raise MlflowException("the model failed", error_code=INTERNAL_ERROR) from error

    def _bytes(self, item: Any) -> bytes:
        """Raw values as they would be sent."""
        return self._checked(item).astype(self._sent, copy=False).tobytes()

    def _checked(self, item: Any) -> np.ndarray:
        """Raw values as an array of the item's shape and type."""
        # Lists become arrays of objects first: left to itself, numpy would widen every cell to the longest string.
        values = item if isinstance(item, np.ndarray) else np.array(item, dtype=object)
        kinds = set(map(type, values.ravel())) if values.dtype.kind == "O" else {values.dtype.type}
        if list in kinds:
            raise Refused("shape", f"expected an item of shape {self._expected}, received a ragged list")
        if len(values.shape) != len(self._shape) or any(
            side not in (None, received) for side, received in zip(self._shape, values.shape, strict=True)
        ):
            raise Refused("shape", f"expected an item of shape {self._expected}, received {values.shape}")
        if self.any_size and not 0 < math.prod(values.shape[:2]) <= MOST_PIXELS:
            raise Refused("shape", f"expected 1 to {MOST_PIXELS} pixels, received {math.prod(values.shape[:2])}")
        if values.dtype == self._dtype:
            return values
        if not all(issubclass(kind, NUMBERS) and kind is not bool for kind in kinds):
            raise Refused("type", "expected numbers only")
        try:
            numbers = values.astype(np.float64)
        except OverflowError:  # a whole number of hundreds of digits
            raise Refused("range", "expected finite numbers only") from None
        if self._dtype.kind == "f":
            with np.errstate(over="ignore"):  # too large a number becomes infinite, which is refused
                return numbers.astype(self._dtype)
        bounds = np.iinfo(self._dtype)
        # A NaN fails every comparison, so it is refused here too.
        if not (numbers.min() >= bounds.min and numbers.max() <= bounds.max and (numbers == np.floor(numbers)).all()):
            raise Refused("range", f"expected whole numbers from {bounds.min} to {bounds.max}")
        return numbers.astype(self._dtype)

    @property
    def _expected(self) -> str:
        """The shape of an item, for people."""
        return str(self._shape) if not self.any_size else "(height, width, 3)"

    def _file(self, text: str) -> bytes:
        """The bytes that a string stands for."""
        try:
            return binascii.a2b_base64(text, strict_mode=True)
        except ValueError:
            raise Refused("encoding", "expected a string to be base64") from None

    def _decoded(self, text: str) -> bytes:
        """The raw values of an encoded item, in C order, little-endian."""
        data = self._file(text)
        if len(self._shape) in (2, 3) and data.startswith(IMAGE_SIGNATURES):
            return self._bytes(self._image(data))
        if len(data) != self._item_bytes:
            message = f"expected a PNG, a JPEG or {self._item_bytes} bytes of raw values, received {len(data)} bytes"
            raise Refused("encoding", message)
        return data

    def _image(self, data: bytes) -> np.ndarray:
        """A PNG or JPEG file as grey (height, width) or RGB (height, width, 3) pixels."""
        file = b""
        try:
            file, exif = bare(data)
            if file.startswith(JPEG) and file.count(SCAN) > MOST_SCANS:
                raise Refused("image", f"expected a JPEG of at most {MOST_SCANS} scans")
            with Image.open(io.BytesIO(file), formats=("PNG", "JPEG")) as image:
                self._check_image(image)
                turned = upright(image, exif) if self.any_size else image
                return np.asarray(turned.convert("L" if len(self._shape) == 2 else "RGB"))
        except Refused:
            raise
        except Image.DecompressionBombError:
            raise Refused("image", f"expected an image of {self._expected_pixels}, received one of many more") from None
        except Exception:  # of Pillow, which has no common class for what may be wrong with a file
            reason = "it is cut off" if file and not ended(file) else "it is damaged"
            raise Refused("image", f"cannot read the image, {reason}") from None

    def _check_image(self, image: Image.Image) -> None:
        """Refuses, before anything is decoded, what is no item: a small file can hold a huge image."""
        height, width = self._shape[:2]
        fits = math.prod(image.size) <= MOST_PIXELS if self.any_size else image.size == (width, height)
        if not fits:
            size = "{}×{}".format(*image.size)
            raise Refused("image", f"expected an image of {self._expected_pixels}, received {size}")
        if image.mode not in ("1", "L", "P", "RGB") or image.has_transparency_data:
            message = f"expected a grey or RGB image of 8 bits without transparency, received mode {image.mode}"
            raise Refused("image", message)

    @property
    def _expected_pixels(self) -> str:
        """The size of an image, for people."""
        height, width = self._shape[:2]
        return f"at most {MOST_PIXELS} pixels" if self.any_size else f"{width}×{height} pixels"


class Refused(MlflowException):
    """A request that cannot be answered, told in one line; `kind` groups them in the metrics."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message, error_code=BAD_REQUEST)
        self.kind = kind


def bare(data: bytes) -> tuple[bytes, bytes]:
    """A PNG or JPEG file without what its pixels do not need, and its Exif data, empty where there is none.

    Comments, profiles, previews and further pictures may be broken where the picture is not, and may take Pillow
    minutes: it inflates every profile, of which 10 MB can hold 10,000.

    Raises:
        ValueError: It is in too many pieces, each of which takes its time.
    """
    is_png = data.startswith(PNG)
    needed, exif_at = (CHUNKS, 8) if is_png else (SEGMENTS, 10)
    kept, exif = [PNG if is_png else JPEG], b""
    for count, (kind, piece) in enumerate(_chunks(data) if is_png else _segments(data)):
        if count == MOST_PIECES:
            raise ValueError(f"expected at most {MOST_PIECES} chunks or segments")
        if kind in needed:
            kept.append(piece)
        elif not exif and piece[4:].startswith((b"eXIf", b"Exif\0\0")):
            exif = piece[exif_at:]
    return b"".join(kept), exif


def ended(file: bytes) -> bool:
    """Whether a file that `bare` gave has its end."""
    return file.endswith(END) if file.startswith(JPEG) else file[-8:-4] == b"IEND"


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and whole of each chunk, the last of which may be cut off (PNG specification, section 5.3)."""
    at, kind = len(PNG), b""
    while len(png) - at >= 8 and kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", png, at)
        yield kind, png[at : at + 12 + length]
        at += 12 + length


def _segments(jpeg: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Marker and whole of each segment, a scan with its pixels (ITU T.81, section B.1.1)."""
    at, kind = len(JPEG), b""
    while kind != END[1:] and (found := MARKER.search(jpeg, at)):
        kind, at = found[1], found.end()
        if kind not in (b"\x01", JPEG[1:], END[1:]):  # these stand alone; the others say how long they are
            at += int.from_bytes(jpeg[at : at + 2], "big")
        if kind == SCAN[1:]:
            following = MARKER.search(jpeg, at)
            at = following.start() if following else len(jpeg)
        yield kind, jpeg[found.start() : at]


def upright(image: Image.Image, exif: bytes) -> Image.Image:
    """As the camera was held, where the Exif data say it (Exif 2.32, sections 4.5 and 4.6.4).

    Pillow would read all other notes too, warn of each that is broken, and write them anew.
    """
    order = ">" if exif.startswith(b"MM") else "<"
    with contextlib.suppress(struct.error):  # a broken note; the picture may be good
        (at,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, at)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", exif, entry)
            if tag == 0x0112:
                return image.transpose(TURNS[value]) if value in TURNS else image
    return image


class Metrics:
    """What a server of predictions tells Prometheus.

    Args:
        registry: Of prometheus_client.
        name: Of the registered model, "" where it is not known.
        version: Of the registered model, "" where it is not known.
        labels: Names of the classes in the order of the outputs; empty where the outputs are no probabilities.
    """

    def __init__(self, registry: Any, name: str, version: str, labels: list[str]) -> None:
        from prometheus_client import Counter, Gauge, Histogram

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
        self._predictions = counter("model_predictions", "Items by predicted class", "label")
        self._counters: dict[str, Any] = {}
        self._labels = self._known(labels)
        self._seconds = histogram("model_seconds", "Time to decode a request and run the model", *SECONDS)
        self._items = histogram("model_batch_items", "Items in a request", 1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)
        self._confidence = histogram("model_confidence", "Probability of the predicted class", *CONFIDENCES)

    def _known(self, labels: list[str]) -> list[str]:
        """These labels; each has a value from now on, which a rate needs before the first prediction."""
        for label in labels:
            self._counter(label)
        return labels

    def _counter(self, label: str) -> Any:
        """Of the items that got this label. prometheus_client takes longer to find it."""
        if label not in self._counters:
            self._counters[label] = self._predictions.labels(label)
        return self._counters[label]

    def serves(self, name: str, version: str, labels: list[str]) -> None:
        """Notes that another version answers from now on."""
        self._info.clear()
        self._info.labels(name, version).set(1)
        self._labels = self._known(labels)

    def refused(self, kind: str) -> None:
        """Counts a request without an answer, by the reason, one of KINDS."""
        self._requests.inc()
        self._errors.labels(kind).inc()

    def observed(self, answer: Any, items: Any, labels: list[str] | None = None) -> Any:
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
        self._requests.inc()
        self._seconds.observe(time.perf_counter() - started)
        self._items.observe(len(outputs))
        if labels and outputs.shape[1:] == (len(labels),):
            for index, confidence in zip(outputs.argmax(axis=1).tolist(), outputs.max(axis=1).tolist(), strict=True):
                self._counter(labels[index]).inc()
                self._confidence.observe(confidence)
        return outputs


def serve_metrics(model_path: Path) -> Metrics | None:
    """Opens the metrics' port; None where `METRICS_PORT` is 0. Of several workers one answers for all."""
    try:
        port = int(os.environ.get("METRICS_PORT", "9464"))
    except ValueError:
        logger.warning("No metrics: METRICS_PORT must be a number, it is %r.", os.environ["METRICS_PORT"])
        return None
    everywhere = any(Path(sign).exists() for sign in IN_A_CONTAINER)  # others come in only where a port is published
    host = os.environ.get("METRICS_HOST", "0.0.0.0" if everywhere else "127.0.0.1")
    if port == 0:
        return None
    alone = not _one_of_several_workers()
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
    metrics = Metrics(registry if alone else None, *registered_as(model_path), labels_of(model_path))
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


def labels_of(model_path: Path) -> list[str]:
    """The classes in the order of the model's outputs; none where the outputs are no probabilities."""
    metadata = yaml.safe_load((model_path / "MLmodel").read_text(encoding="utf-8"))["metadata"]
    return list(metadata["answer"].get("labels", []))


def _cpus() -> int:
    """CPUs that this process may use, rounded up. ONNX Runtime would count the host's, not a container's."""
    present = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):  # control groups, version 2 and 1
        files = [CGROUP / name for name in names]
        if all(file.exists() for file in files):
            quota, period = " ".join(file.read_text() for file in files).split()
            return present if quota in ("max", "-1") else min(present, math.ceil(int(quota) / int(period)))
    return present


def _one_of_several_workers() -> bool:
    """Whether uvicorn runs this process as one of several workers; a single one is nobody's child."""
    return multiprocessing.parent_process() is not None


set_model(OnnxModel())
