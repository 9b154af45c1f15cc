"""How fast pictures are painted: `stylize` against a bare loop, the network against `stylize`, and the network served.

    python -m benchmarks.style_speed --content photo.jpg --style painting.jpg [--model-uri latest] [--repeats 5]

`stylize` and the bare loop take the same steps over the same VGG16 in turn; the first with all that it logs. The
network is the served model, in this process, and over HTTP with a picture of 512 × 512 pixels as a JPEG file.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import mlflow
import numpy as np
import tensorflow as tf
from PIL import Image

from lifecycle import runs
from lifecycle.own_steps import RunJournal
from registry.candidates import find
from serving.server import Client, scoring_server
from tasks.contract import get_task
from tasks.style.stylize import Settings, Stylize, read
from tasks.style.vgg import loss_network

TASK = get_task("style")
SERVED_SIDE = 512


def ours(content: np.ndarray, style: np.ndarray, steps: int) -> float:
    """Median seconds of a step of the entry point, with what it logs."""
    with mlflow.start_run():
        return Stylize(content=Path(), style=Path(), steps=steps).paint(content, style, RunJournal())[1]


def bare(content: np.ndarray, style: np.ndarray, steps: int) -> float:
    """Median seconds of a step of the shortest loop that does the same."""
    network = loss_network()
    *wanted_style, wanted = (tf.constant(features) for features in features_of(network, style, content))
    pixels = tf.Variable(content[None].astype(np.float32))
    optimizer = keras.optimizers.Adam(Settings().learning_rate)

    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            *found, deepest = network(pixels)
            loss = error(deepest, wanted)
            for features, target in zip(found, wanted_style, strict=True):
                loss += error(gram(features), target)
        optimizer.apply([tape.gradient(loss, pixels)], [pixels])
        pixels.assign(tf.clip_by_value(pixels, 0.0, 255.0))
        return loss

    compiled = tf.function(step)
    return median_seconds(lambda: float(compiled()), steps)


def features_of(network: keras.Model, style: np.ndarray, content: np.ndarray) -> list[tf.Tensor]:
    """Gram matrices of a painting, and what is in a photograph."""
    grams = [gram(features) for features in network(style[None].astype(np.float32))[:-1]]
    return [*grams, network(content[None].astype(np.float32))[-1]]


def gram(features: tf.Tensor) -> tf.Tensor:
    flat = tf.reshape(features, (-1, features.shape[-1]))
    return tf.matmul(flat, flat, transpose_a=True) / tf.cast(tf.shape(flat)[0], tf.float32)


def error(found: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum((found - wanted) ** 2) / tf.reduce_sum(wanted**2)


def median_seconds(call: Callable[[], object], repeats: int) -> float:
    """Of a call, after a first one that is not counted."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def compare_loops(photograph: np.ndarray, painting: np.ndarray, repeats: int, steps: int) -> float:
    """Prints both loops' seconds a step and gives the median of ours."""
    pairs = [(ours(photograph, painting, steps), bare(photograph, painting, steps)) for _ in range(repeats)]
    for name, times in zip(("stylize", "bare loop"), zip(*pairs, strict=True), strict=True):
        print(f"{name}: median {statistics.median(times):.3f} s a step ({min(times):.3f} to {max(times):.3f})")
    ratios = [mine / theirs for mine, theirs in pairs]
    print(f"ratio of the same round: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    return statistics.median(mine for mine, _ in pairs)


def time_network(model_uri: str, photograph: np.ndarray, seconds_a_step: float, repeats: int) -> None:
    """Prints what the network takes, against 200 steps, and over HTTP."""
    candidate = find(runs.connect(), TASK, model_uri)
    with tempfile.TemporaryDirectory() as folder:
        model = mlflow.pyfunc.load_model(candidate.uri, dst_path=folder)
        alone = median_seconds(lambda: model.predict([photograph]), repeats)
        print(f"network: {alone:.3f} s a picture, 200 steps take {200 * seconds_a_step / alone:.0f} times as long")
    buffer = io.BytesIO()
    Image.fromarray(photograph).resize((SERVED_SIDE, SERVED_SIDE)).save(buffer, "JPEG", quality=90)
    body = json.dumps({"inputs": [base64.b64encode(buffer.getvalue()).decode()]}).encode()
    with scoring_server(Path(mlflow.artifacts.download_artifacts(candidate.uri))) as port:
        client = Client(port)
        served = median_seconds(lambda: client.invoke(body), repeats)
        assert client.invoke(body).status == 200
    print(f"network, {SERVED_SIDE} × {SERVED_SIDE} pixels through /invocations: {served:.3f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--content", type=Path, required=True)
    parser.add_argument("--style", type=Path, required=True)
    parser.add_argument("--model-uri", default="", help="a logged model of the style task; none: only the loops")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    photograph, painting = (read(path, arguments.size) for path in (arguments.content, arguments.style))
    tracking = mlflow.get_tracking_uri()
    with tempfile.TemporaryDirectory() as folder:
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        seconds = compare_loops(photograph, painting, arguments.repeats, arguments.steps)
    mlflow.set_tracking_uri(tracking)
    if arguments.model_uri:
        time_network(arguments.model_uri, photograph, seconds, arguments.repeats)


if __name__ == "__main__":
    main()
