"""A train run on images that are larger than memory need be: how much memory it takes, and what the digest costs.

    python -m benchmarks.images_on_disk [--gigabytes 4]

JPEG files are generated, of 320×320 pixels, whose class is the colour of a disc. `lifecycle.training.train` learns from
them for an epoch, in a process of its own, and so does another one from a hundredth of them: what that takes is
TensorFlow's own. Then the digest is asked for once more, and again after one file has changed.
"""

from __future__ import annotations

import argparse
import functools
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mlflow import MlflowClient
from PIL import Image

from forms.answers.labels import Labels
from forms.items.photograph import Photograph
from lifecycle.training import train
from tasks import classification
from tasks.contract import Config, Files, Primary, Split, SplitName, Task

if TYPE_CHECKING:
    import keras

ROOT = Path(__file__).resolve().parent.parent
SIDE = 320  # pixels
COLOURS = {"red": (200, 60, 60), "green": (60, 180, 60), "blue": (60, 60, 200)}
VALIDATION = 0.1  # of the images
FEW = 100  # times fewer images, of which the memory that is taken is TensorFlow's own
GIGABYTE, MEGABYTE = 10**9, 10**6


def generate(folder: Path, count: int) -> None:
    """Writes images named by their number; the number's remainder by three is the class."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    colours = np.array(list(COLOURS.values()))

    def write(number: int) -> None:
        generator = np.random.default_rng(number)
        grain = generator.integers(0, 60, (SIDE // 8, SIDE // 8, 3), np.uint8)
        pixels = np.asarray(Image.fromarray(grain).resize((SIDE, SIDE), Image.Resampling.BICUBIC)).astype(int) + 80
        centre, radius = generator.integers(80, SIDE - 80, 2), generator.integers(20, 80)
        pixels[(rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2] = colours[number % len(colours)]
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number:06}.jpg", quality=80)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(write, range(count)))


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def load(folder: Path, count: int, name: SplitName) -> Split:
    first = round(count * (1 - VALIDATION))
    numbers = range(first) if name == "train" else range(first, count)
    paths = [folder / f"{number:06}.jpg" for number in numbers]
    return Split(Files(paths, read, np.uint8, (SIDE, SIDE, 3)), np.array(numbers) % len(COLOURS))


def build(config: Config) -> keras.Model:
    import keras

    inputs = keras.Input((SIDE, SIDE, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    for filters in (8, 16, 32):
        x = keras.layers.Conv2D(filters, 3, strides=4, padding="same", activation="relu")(x)
    outputs = keras.layers.Dense(len(COLOURS), activation="softmax")(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(config.learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def task_of(folder: Path, count: int) -> Task:
    labels = tuple(COLOURS)
    return Task(
        name="discs",
        summary="Tell the colour of a disc.",
        models={"small": Config(model="small", epochs=1, batch_size=64, learning_rate=3e-3)},
        load=functools.partial(load, folder, count),
        build=build,
        scores=functools.partial(classification.scores, labels),
        metrics=classification.metrics,
        figures=lambda split, outputs: iter(()),
        primary=Primary(name="accuracy", floor=0.5, margin=0.01, attainable=1.0),
        item=Photograph(),
        answer=Labels(labels),
    )


def child(folder: Path, count: int) -> None:
    """Trains, and prints the most memory that it took, in megabytes, and the validation accuracy."""
    import resource

    task = task_of(folder, count)
    trained = train(task, task.configure())
    accuracy = MlflowClient().get_run(trained.run_id).data.metrics["val_accuracy"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEGABYTE
    print(f"PEAK {peak:.0f} {accuracy:.4f}")


def measured(folder: Path, count: int, store: Path) -> tuple[float, float, float]:
    """Peak in megabytes, validation accuracy and seconds of a train run on so many images."""
    command = [sys.executable, "-m", "benchmarks.images_on_disk", "--child", str(folder), str(count)]
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{store}/{count}.db",
        "DL_LIFECYCLE_CACHE": str(store / "cache"),
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }
    started = time.perf_counter()
    result = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    peak, accuracy = next(line for line in result.stdout.splitlines() if line.startswith("PEAK")).split()[1:]
    return float(peak), float(accuracy), time.perf_counter() - started


def digest_seconds(folder: Path, count: int) -> tuple[str, float]:
    started = time.perf_counter()
    digest = load(folder, count, "train").digest
    return digest, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=4.0, help="of all images, decoded")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(Path(arguments.child[0]), int(arguments.child[1]))
        return
    count = round(arguments.gigabytes * GIGABYTE / (SIDE * SIDE * 3))
    with tempfile.TemporaryDirectory() as name:
        folder, store = Path(name, "images"), Path(name, "store")
        folder.mkdir()
        store.mkdir()
        generate(folder, count)
        stored = sum(path.stat().st_size for path in folder.iterdir()) / GIGABYTE
        print(f"{count} images, {arguments.gigabytes:g} GB decoded, {stored:.2f} GB on disk", flush=True)
        own, *_ = measured(folder, count // FEW, store)
        peak, accuracy, seconds = measured(folder, count, store)
        print(f"peak {peak:.0f} MB, with a hundredth of the images {own:.0f} MB: {peak - own:.0f} MB more")
        print(f"{seconds:.0f} s with both digests, validation accuracy {accuracy:.4f}")
        os.environ["DL_LIFECYCLE_CACHE"] = str(store / "cache")
        before, kept = digest_seconds(folder, count)
        Image.new("RGB", (SIDE, SIDE)).save(folder / "000000.jpg")
        after, anew = digest_seconds(folder, count)
        assert after != before
        print(f"digest of the training images: kept {kept:.2f} s, after a change {anew:.1f} s")


if __name__ == "__main__":
    main()
