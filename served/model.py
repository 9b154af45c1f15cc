"""The model as MLflow's scoring server runs it: reads items, runs the network, writes answers."""

import gc
import json
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml
from mlflow.pyfunc.model import PythonModel

from .answers import Masks, Named, Numbers, Painted, Probabilities, VolumeMasks
from .any_size import Micrographs
from .features import Features, Hidden
from .metrics import Metrics, registered_as, serve_metrics
from .pictures import Pictures, PicturesOfAnySize
from .protocol import name_requests, take_every_payload
from .record import Count, Recorder, outputs_of, source_of
from .record_files import settings
from .refusal import Refused
from .session import HIDDEN, Session
from .values import Rows, Values
from .volumes import Volumes, VolumesOfAnySize
from .windows import Windowed

# Where there is no type hint, MLflow warns whoever loads the model; where there is one that it knows how to check, it
# checks every item before it is looked at here. It does neither with this one.
if TYPE_CHECKING:
    Given = Any
else:
    Given = np.ndarray

SMALL_BYTES = 2**20  # of an output
# By the names that the metadata of the item's and the answer's form have for them.
READERS: dict[str, type[Values]] = {
    "values": Values,
    "rows": Rows,
    "pictures": Pictures,
    "pictures of any size": PicturesOfAnySize,
    "micrographs": Micrographs,
    "volumes": Volumes,
    "volumes of any size": VolumesOfAnySize,
}
WRITERS = {
    "numbers": Numbers,
    "probabilities": Probabilities,
    "pictures": Painted,
    "masks": Masks,
    "volume masks": VolumeMasks,
}


class OnnxModel(PythonModel):
    """Runs `model.onnx`. The shape and type of one item are read from the graph, preprocessing is inside it.

    In a scoring server it also tells Prometheus what it does, and keeps a record of it where it is asked to.
    """

    def load_context(self, context: Any) -> None:
        onnx = Path(context.artifacts["onnx"])
        folder = onnx.parent.parent
        described = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
        metadata = described["metadata"]
        window = metadata["item"].get("window")
        self._session = Windowed(onnx, window) if window else Session(onnx)
        self._reader = reader_of(metadata["item"], self._session)
        self._writer = writer_of(metadata["answer"])
        self._writer.check(self._session.outputs)
        self._columns = metadata["answer"].get("columns")
        self._recorded = outputs_of(metadata["answer"])
        self._recorder: Recorder | None = None
        hidden, self._repeats = profile_of(folder / "artifacts" / "profile.json")
        self._hidden = hidden if self._session.has_hidden else None
        self.any_size = self._reader.any_size
        self._one_picture = threading.Lock()
        self._metrics: Metrics | None = None
        self._config = context.model_config or {}
        self._settled = True
        take_every_payload()
        if "__pyfunc_model_path__" in os.environ:  # how MLflow tells its scoring server what to load
            self._metrics = serve_metrics(folder, metadata["answer"]["counted"])
            self._settled = False
            source = source_of(*registered_as(folder), described.get("model_id") or "")
            self.record_traffic(source, self._metrics.traffic if self._metrics else None)
            if self._recorder is not None:
                name_requests(self._recorder.begin, self._recorder.close)

    def predict(self, context: Any, model_input: Given, params: Any = None) -> Any:
        """The model's outputs for some items.

        Args:
            context: Not used.
            model_input: An array (items, ...), or a list of items, each either raw values as nested lists or an array
                of the item's shape, or one string: base64 of the raw values in C order, little-endian, or where items
                are pictures, of a PNG or JPEG file of the item's size. Pictures of any size, where that is what the
                model takes, come as files or as values (H, W, 3). Or a pandas table with a row an item: with a column
                a value, or one column of items. Rows of a table may be dictionaries by the names of the columns.
            params: How the answer is given, by the names in the signature; None, also for one of them, for what the
                model's `model_config` says.

        Returns:
            Outputs of shape (items, ...). Of pictures of any size a list: each picture as values (H, W, 3) uint8, or
            where it came as a file, as base64 of a PNG file. A dictionary of these where the model gives several. The
            answers to a table are a table of the same index, with names for what they consist of.

        Raises:
            MlflowException: BAD_REQUEST, the message says what was expected and what came; INTERNAL_ERROR where the
                model itself failed.
        """
        if not self._settled:
            # All that the server needs is loaded by now. Every full garbage collection would walk through it, some
            # 70 ms in the middle of a request.
            gc.freeze()
            self._settled = True
        answer = self._answer if self._recorder is None else self._noted
        outputs = answer(model_input) if self._metrics is None else self._metrics.observed(answer, model_input)
        asked = {name: value for name, value in (params or {}).items() if value is not None}
        answers = self._writer.asked(outputs, self._config | asked)
        if isinstance(model_input, pd.DataFrame) and isinstance(answers, np.ndarray) and answers.ndim == 2:
            return pd.DataFrame(answers, model_input.index, self._columns)  # as MLflow's flavors answer tables
        return answers

    def record_traffic(self, source: str, count: Count | None = None) -> None:
        """Keeps a record of what is served from now on, where the environment says so; see served/record.py.

        Args:
            source: What answers, as a URI of MLflow.
            count: Whom to tell how much is recorded.
        """
        found = settings()
        if found is not None:
            self._recorder = Recorder(found, source, self._recorded, self._features, self._repeats, count)

    def begin(self, sent: str) -> str:
        """The id of the request that this context is about to answer: `sent`, where that can be one. Empty where
        nothing is recorded."""
        return "" if self._recorder is None else self._recorder.begin(sent)

    def refused(self, kind: str, seconds: float) -> None:
        """Notes that the server refused this context's request before it came here."""
        if self._recorder is not None:
            self._recorder.refused(kind, seconds)

    def end_traffic(self, is_replaced: bool = False) -> None:
        """Writes what is noted so far, and of a version that is replaced also what it is still answering."""
        if self._recorder is not None and is_replaced:
            self._recorder.retire()
        elif self._recorder is not None:
            self._recorder.close()

    def _features(self, batch: np.ndarray) -> Features:
        """What items (N, ...) are watched by. The network is run again for that, off every request's path: so none has
        to fetch the hidden layer."""
        found = self._reader.features(batch)
        if self._hidden is None:
            return found
        return found | self._hidden.features(self._session.run(batch, hidden=True)[HIDDEN])

    def _noted(self, given: Any) -> Any:
        """As `_answer`, and has it recorded."""
        assert self._recorder is not None
        started = time.perf_counter()
        try:
            items, batches = self._read(given)
            outputs = self._answers(items, batches)
        except Exception as error:
            self._recorder.refused(getattr(error, "kind", "internal"), time.perf_counter() - started)
            raise
        self._recorder.answered(batches, outputs, time.perf_counter() - started)
        return outputs

    def _answer(self, given: Any) -> Any:
        return self._answers(*self._read(given))

    def _read(self, given: Any) -> tuple[Any, list[np.ndarray]]:
        """The items that were passed, and as the network takes them."""
        items = self._reader.listed(given)
        if len(items) == 0:
            raise Refused("empty", "expected at least one item, received none")
        return items, self._reader.batches(items)

    def _answers(self, items: Any, batches: list[np.ndarray]) -> Any:
        if not self.any_size:
            return self._values(batches[0])
        sent = [item if isinstance(item, str) else None for item in items]
        answers = [self._one(batch, file) for batch, file in zip(batches, sent, strict=True)]
        return self._writer.together(answers)

    def _one(self, batch: np.ndarray, sent: str | None) -> Any:
        """The answer to the one item of a batch, and to the file in base64 that it came as, if it did."""
        with self._one_picture:  # a few large ones at once would take gigabytes
            values = self._values(batch)
        return self._writer.one(values, sent)

    def _values(self, batch: np.ndarray) -> Any:
        outputs = self._session.run(batch)
        if not all(_is_finite(one) for one in outputs.values()):
            raise Refused("range", "the model has no finite answer for this input")
        return self._writer.values(outputs)


def _is_finite(output: np.ndarray) -> bool:
    if output.nbytes < SMALL_BYTES:
        # numpy's own `all` is slow here: the network has just displaced its code from the cache.
        return 0 not in np.isfinite(output).tobytes()
    return all(np.isfinite(part).all() for one in output for part in one)  # what is found out takes memory, too


def profile_of(file: Path) -> tuple[Hidden | None, bool]:
    """What of the hidden layer is watched, by a model's reference profile, None where that has none; and whether inputs
    are often the same as others."""
    profile = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    hidden = profile.get("hidden")
    return Hidden(**hidden) if hidden else None, bool(profile.get("repeats"))


def reader_of(item: dict[str, Any], session: Session) -> Values:
    """What reads the items that metadata describe."""
    return READERS[item["reader"]].of(item, session.shape, session.dtype)


def writer_of(answer: dict[str, Any]) -> Numbers | Named:
    """What writes the answer that metadata describe."""
    if "answers" in answer:
        return Named({name: WRITERS[one["writer"]]() for name, one in answer["answers"].items()})
    return WRITERS[answer["writer"]]()
