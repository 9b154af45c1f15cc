"""Makes the reference profile of a model from its validation split."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.isotonic import IsotonicRegression

from forms.outputs import Outputs
from monitoring.estimate import signature
from monitoring.profile import Calibration, Profile, Trial, Window
from monitoring.reference import BLOCKS, Mix, Reference
from served.features import ANSWER, DISTANCE, Features, Hidden, of_answers
from served.model import reader_of
from served.session import HIDDEN, Session
from tasks.contract import Split, Task, answered

MOST_EXAMPLES = 5_000  # that are looked at
# Components of the hidden layer: as many at most, and one for so many examples. Fitted to few, they leave over less of
# these very examples than of all others, and each window would seem to lie further off.
MOST_COMPONENTS, EXAMPLES_A_COMPONENT = 12, 50
MOST_DISTINCT = 0.9  # of examples; where fewer differ, it is no sign of an input that it came twice
LEAST_DEVIATION = 1e-6  # of a component; one that is always the same is divided by no less
# Examples in a trial: fewer where they have many values, but so many at least.
TRIAL_EXAMPLES, MOST_TRIAL_VALUES, LEAST_TRIAL_EXAMPLES = 500, 2**22, 64
UNTOUCHED, UNTOUCHED_TRIALS = "not at all", 5


@dataclass(frozen=True)
class Answers:
    """What a model makes of some examples.

    Attributes:
        probabilities: Of the labels (N, labels), by the output's name, which is empty where there is one.
        features: Of items and answers, (N,) each.
        units: Of the last hidden layer (N, units); None where the graph does not give it.
    """

    probabilities: Mapping[str, np.ndarray]
    features: Features
    units: np.ndarray | None

    def window(self, hidden: Hidden | None) -> Window:
        features = (
            self.features if hidden is None or self.units is None else self.features | hidden.features(self.units)
        )
        return Window(
            features,
            predicted={name: values.argmax(axis=1) for name, values in self.probabilities.items()},
            confidences={name: values.max(axis=1) for name, values in self.probabilities.items()},
        )


class Asked:
    """A model that is asked, and whose answers are looked at as when it serves.

    Args:
        task: Whose model it is.
        graph: File of its graph.
    """

    def __init__(self, task: Task, graph: Path) -> None:
        self._session = Session(graph)
        self._reader = reader_of(task.item.metadata(), self._session)
        self.labels = task.answer.counted

    def answers(self, inputs: Outputs) -> Answers:
        """Its answers to an array or items (N, ...)."""
        found: dict[tuple[str, str], np.ndarray] = answered(inputs, self._batch)
        units = found.pop(("", HIDDEN), None)
        features = {name: values for (kind, name), values in found.items() if kind == "feature"}
        names = [name for kind, name in found if kind == "output"]
        outputs = {name if name in self.labels else "": found["output", name] for name in names}
        return Answers({name: outputs[name] for name in self.labels}, features, units)

    def _batch(self, batch: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
        outputs = {} if self._reader.any_size else self._session.run(batch, hidden=True)  # it takes seconds a picture
        units = outputs.pop(HIDDEN, None)
        features = self._reader.features(batch) | of_answers(outputs, self.labels)
        found = {("output", name): values for name, values in outputs.items() if self.labels}
        found |= {("feature", name): values for name, values in features.items()}
        return found if units is None else found | {("", HIDDEN): units}


def make_profile(task: Task, graph: Path, validation: Split) -> Profile:
    """The profile of the model whose graph is in a file."""
    asked = Asked(task, graph)
    places = _spread(len(validation))
    inputs = validation.take(places).inputs
    answers = asked.answers(inputs)
    hidden = None if answers.units is None else hidden_of(answers.units)
    window = answers.window(hidden)
    targets = {name: of_output(validation.targets, name)[places] for name in asked.labels}
    profile = Profile(
        examples=len(places),
        features={name: Reference.of(values) for name, values in window.features.items()},
        mixes={name: Mix.of(window.predicted[name], len(names)) for name, names in asked.labels.items()},
        confidences={name: Reference.of(values) for name, values in window.confidences.items()},
        labels=asked.labels,
        calibrations={
            name: calibration(window.confidences[name], window.predicted[name] == right)
            for name, right in targets.items()
        },
        trials={},
        hidden=hidden,
        errors=_errors(window, validation.targets, places),
        repeats=len({item.tobytes() for item in inputs}) < MOST_DISTINCT * len(places),
    )
    return dataclasses.replace(profile, trials=_trials(task, asked, profile, inputs, targets) if targets else {})


def _errors(window: Window, targets: Outputs, places: np.ndarray) -> dict[str, float]:
    """The mean absolute error of answers that are one number; empty where they are something else."""
    if ANSWER not in window.features:
        return {}
    return {"": float(np.abs(window.features[ANSWER] - np.asarray(targets)[places].reshape(len(places))).mean())}


def of_output(outputs: Outputs, name: str) -> np.ndarray:
    """Those of one output, whose name is empty where there is one."""
    return outputs[name] if name else outputs


def _spread(examples: int) -> np.ndarray:
    """Places of at most MOST_EXAMPLES examples, in blocks of neighbours from all over the split."""
    if examples <= MOST_EXAMPLES:
        return np.arange(examples)
    size = MOST_EXAMPLES // BLOCKS
    starts = np.linspace(0, examples - size, BLOCKS, dtype=int)
    return np.concatenate([np.arange(start, start + size) for start in starts])


def hidden_of(units: np.ndarray) -> Hidden | None:
    """What is watched of a hidden layer (N, units); None where there is too little of it."""
    components = min(MOST_COMPONENTS, units.shape[1] // 2, len(units) // EXAMPLES_A_COMPONENT)
    if components < 1:
        return None
    found = PCA(components, svd_solver="randomized", random_state=0).fit(units)
    deviations = np.maximum(np.sqrt(found.explained_variance_), LEAST_DEVIATION)
    return Hidden(found.mean_, found.components_, deviations)


def calibration(confidences: np.ndarray, right: np.ndarray) -> Calibration:
    """How often answers of some confidence (N,) were right (N,): a function that does not fall, fitted to them."""
    fitted = IsotonicRegression(out_of_bounds="clip").fit(confidences, right)
    return Calibration(fitted.X_thresholds_, fitted.y_thresholds_, float(right.mean()))


def _trials(
    task: Task, asked: Asked, profile: Profile, inputs: Outputs, targets: Mapping[str, np.ndarray]
) -> dict[str, list[Trial]]:
    """Trials by the name of the output, on examples that are drawn anew for each."""
    generator = np.random.default_rng(0)
    values = int(np.prod(inputs.shape[1:]))
    size = min(len(inputs), TRIAL_EXAMPLES, max(LEAST_TRIAL_EXAMPLES, MOST_TRIAL_VALUES // values))
    trials: dict[str, list[Trial]] = {name: [] for name in targets}

    def note(kind: str, items: np.ndarray, rows: np.ndarray) -> None:
        window = asked.answers(items).window(profile.hidden)
        for name, right in targets.items():
            moved = signature(profile.confidences[name], profile.features.get(DISTANCE), window, name)
            accuracy = float((window.predicted[name] == right[rows]).mean())
            error = profile.calibrations[name].expected(window.confidences[name]) - accuracy
            trials[name].append(Trial(kind, moved, error))

    for _ in range(UNTOUCHED_TRIALS):
        rows = generator.permutation(len(inputs))[:size]
        note(UNTOUCHED, inputs[rows], rows)
    rows = generator.permutation(len(inputs))[:size]
    for kind, items in task.item.corrupted(inputs[rows], generator):
        note(kind, items, rows)
    return trials
