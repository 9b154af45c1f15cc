"""Handwritten digits, 8×8: small enough to train in seconds, and scikit-learn carries the data."""

from functools import partial

from forms.answers.labels import Labels
from forms.items.ink import Ink
from tasks.classification import figures, metrics, scores
from tasks.contract import Primary, Task, lazily
from tasks.digits.config import DENSE, LINEAR
from tasks.digits.data import load
from tasks.digits.studies import SEARCH, STUDIES

LABELS = tuple("0123456789")

TASK = Task(
    name="digits",
    summary="Recognise a handwritten digit in an 8×8 image (scikit-learn's digits).",
    models={"dense": DENSE, "linear": LINEAR},
    load=load,
    build=lazily("tasks.digits.model:build"),
    metrics=metrics,
    scores=partial(scores, LABELS),
    figures=partial(figures, LABELS),
    primary=Primary(name="accuracy", floor=0.90, margin=0.02, attainable=0.99),
    item=Ink(white=16),
    answer=Labels(LABELS, ordered=True),
    limits=(
        "It knows single digits, scanned and reduced to 8×8 pixels for a collection of 1998; letters, several digits "
        "and other scripts get the digit that they resemble most."
    ),
    studies=STUDIES,
    search=SEARCH,
)
