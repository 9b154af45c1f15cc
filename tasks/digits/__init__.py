"""Handwritten digits, 8×8: small enough to train in seconds, and scikit-learn carries the data."""

from functools import partial

from tasks.classification import figures, metrics, scores
from tasks.contract import Config, Picture, Presentation, Primary, Range, Search, Study, Task, lazily
from tasks.digits.data import load

LABELS = tuple("0123456789")
DENSE = Config(model="dense", epochs=12, batch_size=32, learning_rate=2e-3)
LINEAR = Config(model="linear", epochs=20, batch_size=32, learning_rate=5e-3)

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
    presentation=Presentation(kind="labels", labels=LABELS, picture=Picture("ink", white=16)),
    studies={
        "models": Study(question="Does a hidden layer help?", variants={"linear": LINEAR, "dense": DENSE}),
    },
    search=Search(DENSE, {"learning_rate": Range(1e-4, 0.1, log=True), "batch_size": (16, 32, 64)}),
)
