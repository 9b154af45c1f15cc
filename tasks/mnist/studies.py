"""Questions about the dense network, to be asked with `-e compare -P study=<name>`."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from tasks.contract import Config, Range, Search, Study
from tasks.mnist.config import DENSE
from tasks.mnist.data import TRAIN_SIZE

DEFAULT_RATES = {"adam": 1e-3, "rmsprop": 1e-3, "momentum": 1e-2, "sgd": 1e-2, "muon": 1e-3}  # Keras's
RATES = {
    "adam": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
    "rmsprop": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
    "momentum": (3e-3, 1e-2, 3e-2, 0.1, 0.3),
    "sgd": (1e-2, 0.1, 0.3, 1.0, 3.0),
    "muon": (1e-4, 3e-4, 1e-3, 3e-3),
}
# The best of RATES; of the other optimizers that is Keras's. Found by `-P study=learning_rates -P repeats=1`.
TUNED_RATES = {"momentum": 0.1, "sgd": 1.0}
SIZES = (500, 1_500, 4_500, 13_500, 27_000, 0)
SMALL = 6_000  # examples, for what would take too long on all


def _by_optimizer(rates: dict[str, float], suffix: str = "") -> dict[str, Config]:
    return {
        f"{name}{suffix}": replace(DENSE, optimizer=name, learning_rate=rate, epochs=10) for name, rate in rates.items()
    }


PLAIN = replace(DENSE, dropout=0.0, epochs=20)

STUDIES = {
    "bias_variance": Study(
        question="Does the network suffer from bias or from variance, and would more data help?",
        variants={
            f"{size or TRAIN_SIZE:,} examples": replace(PLAIN, train_examples=size, epochs=15)
            for size in reversed(SIZES)
        },
        comparisons=tuple((f"{more or TRAIN_SIZE:,} examples", f"{less:,} examples") for less, more in pairwise(SIZES)),
        by_examples=True,
    ),
    "regularization": Study(
        question="What do L2 and dropout do to the gap between training and validation?",
        variants={
            "none": PLAIN,
            "L2 1e-4": replace(PLAIN, l2=1e-4),
            "dropout 0.2": replace(PLAIN, dropout=0.2),
            "dropout 0.5": replace(PLAIN, dropout=0.5),
            "L2 and dropout 0.5": replace(PLAIN, l2=1e-4, dropout=0.5),
        },
    ),
    "learning_rates": Study(
        question="Which learning rate suits which optimizer?",
        variants={
            f"{name} {rate:g}": replace(DENSE, optimizer=name, learning_rate=rate)
            for name, rates in RATES.items()
            for rate in rates
        },
        comparisons=tuple(
            (f"{name} {rate:g}", f"{name} {DEFAULT_RATES[name]:g}")
            for name, rates in RATES.items()
            for rate in rates
            if rate != DEFAULT_RATES[name]
        ),
    ),
    "optimizers": Study(
        question="Which optimizer trains the network best, at Keras's learning rate and at its own best one?",
        variants=_by_optimizer(DEFAULT_RATES) | _by_optimizer(TUNED_RATES, " tuned"),
        comparisons=(
            ("adam", "rmsprop"),
            ("rmsprop", "momentum"),
            ("momentum", "sgd"),
            ("muon", "adam"),
            ("momentum tuned", "momentum"),
            ("sgd tuned", "sgd"),
            ("adam", "momentum tuned"),
            ("momentum tuned", "sgd tuned"),
        ),
    ),
    "batchnorm": Study(
        question="Does batch normalisation reach 97.6 % validation accuracy in half the epochs?",
        variants={"without": replace(PLAIN, epochs=8), "batch norm": replace(PLAIN, batch_norm=True, epochs=8)},
        target=0.976,
        timed=True,
    ),
    "batch_size": Study(
        question="One example, a few or all of them for each gradient step: what does it cost, how noisy is it?",
        variants={
            "128": replace(DENSE),
            "32": replace(DENSE, batch_size=32),
            "512": replace(DENSE, batch_size=512),
            "all 54,000": replace(DENSE, batch_size=TRAIN_SIZE),
            f"128 of {SMALL:,}": replace(DENSE, train_examples=SMALL),
            f"1 of {SMALL:,}": replace(DENSE, batch_size=1, train_examples=SMALL),
        },
        comparisons=(
            ("32", "128"),
            ("512", "128"),
            ("all 54,000", "128"),
            (f"1 of {SMALL:,}", f"128 of {SMALL:,}"),
        ),
        timed=True,
    ),
    "vectorization": Study(
        question="The mean gradient of 128 examples: how much faster is it at once than one example after another?",
        variants={
            "at once": replace(DENSE, train_examples=SMALL, dropout=0.0),
            "one by one": replace(DENSE, train_examples=SMALL, dropout=0.0, batch_size=1, accumulate=128),
        },
        timed=True,
    ),
    "labs": Study(
        question="What do three optimizers and three kinds of regularization give after ten epochs?",
        variants=_by_optimizer({name: DEFAULT_RATES[name] for name in ("adam", "rmsprop", "momentum")})
        | {
            "L2": replace(DENSE, l2=1e-4, dropout=0.0, epochs=10),
            "dropout 0.5": replace(DENSE, dropout=0.5, epochs=10),
            "batch norm": replace(DENSE, batch_norm=True, epochs=10),
        },
    ),
}

SEARCH = Search(
    base=DENSE,
    space={
        "optimizer": ("adam", "rmsprop", "momentum", "muon"),
        "learning_rate": Range(1e-4, 0.1, log=True),
        "batch_size": (64, 128, 256, 512),
        "dropout": Range(0.0, 0.6),
        "l2": (0.0, 1e-5, 1e-4),
        "batch_norm": (False, True),
    },
)
