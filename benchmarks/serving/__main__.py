"""Requests per second and latency of ten ways to serve one MNIST network, in turn, on loopback.

    python -m benchmarks.serving [--bentoml <path of the command in an environment with bentoml and onnxruntime>]
        [--only eh] [--rounds 5]

Needs wrk (Debian's package of that name) as the client. Every server has one worker and writes no access log; the
client has one thread. The weights are untrained: they take the same time.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import mlflow

from serving.container import slim_server
from serving.package import REQUIREMENTS, package
from serving.rehearsal import NO_OP
from serving.server import free_port, running, scoring_server
from tasks.contract import get_task

FOLDER = Path(__file__).parent
TASK = get_task("mnist")
BATCH = 64
BATCHES = f"{BATCH} images"  # in one request, 4 clients
CASES = {"1 client": 1, "4 clients": 4, "16 clients": 16, BATCHES: 4}
RATIOS = (
    ("d", "a", "16 clients"),
    ("d", "b", "16 clients"),
    ("d", "c", "16 clients"),
    ("e", "d", "16 clients"),
    ("e", "f", "16 clients"),
    ("e", "c", BATCHES),
    ("e", "d", BATCHES),
    ("e", "f", BATCHES),
    ("d'", "a", "16 clients"),
    ("d'", "b", "16 clients"),
    ("d'", "c", "16 clients"),
    ("e'", "d'", "16 clients"),
    ("e'", "c", BATCHES),
    ("e'", "d'", BATCHES),
    ("e'", "g", "16 clients"),
    ("e'", "g", BATCHES),
    ("g", "d'", "16 clients"),
    ("g", "d'", BATCHES),
    ("h", "e", "1 client"),
    ("h", "e", "4 clients"),
    ("h", "e", "16 clients"),
    ("h", "e", BATCHES),
)
SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open(os.getenv("BODY"), "rb")
wrk.body = file:read("*a")
file:close()
function done(summary, latency)
  local bad = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
  io.write(string.format("RESULT %f %f %f %d\\n", summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, bad))
end
"""


@dataclass(frozen=True)
class Result:
    """Of one run of the client: requests per second, and latencies in ms."""

    rate: float
    p50: float
    p99: float


@dataclass(frozen=True)
class Contender:
    """A running server and what to send to it."""

    label: str
    port: int
    path: str
    single: object
    batch: object | None


def save_models(folder: Path) -> None:
    """The network as model.keras and model.onnx, as our registered model, and as MLflow's own Keras flavour; and a
    model that does nothing."""
    keras.utils.set_random_seed(1)
    model = TASK.build(TASK.configure("dense"))
    validation = TASK.load("validation")
    packaged = package(TASK, model, validation, folder)
    packaged.save_model(folder / "ours")
    mlflow.pyfunc.save_model(folder / "no_op", python_model=str(NO_OP), pip_requirements=list(REQUIREMENTS))
    signature = mlflow.models.infer_signature(validation.inputs[:1], packaged.outputs[:1])
    mlflow.keras.save_model(model, str(folder / "keras"), signature=signature)


@contextlib.contextmanager
def contenders(folder: Path, bentoml: str) -> Iterator[list[Contender]]:
    """All servers, started; BentoML's where its command is named."""
    images = TASK.load("validation").inputs[:BATCH]
    lists = images.tolist()
    encoded = [base64.b64encode(image.tobytes()).decode() for image in images]
    onnx = str(folder / "model.onnx")
    flask, stock, bento, bare = (free_port() for _ in range(4))
    bentoml_environment = {
        "MODEL": onnx,
        "PATH": f"{Path(bentoml).parent}{os.pathsep}{os.environ['PATH']}",
        "BENTOML_CONFIG_OPTIONS": "api_server.logging.access.enabled=False",
        "BENTOML_DO_NOT_TRACK": "True",
    }
    serve_keras = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "-w", "1"]
    serve_keras += ["-m", str(folder / "keras"), "-p", str(stock)]
    serve_bento = [bentoml, "serve", "bento:Mnist", "--working-dir", str(FOLDER), "--port", str(bento)]
    serve_flask = [sys.executable, str(FOLDER / "flask_keras.py"), str(folder / "model.keras"), str(flask)]
    serve_bare = [sys.executable, "-m", "uvicorn", "--app-dir", str(FOLDER), "--port", str(bare), "bare:app"]
    one, many = {"inputs": lists[:1]}, {"inputs": lists}
    one_encoded, many_encoded = {"inputs": encoded[:1]}, {"inputs": encoded}
    flat = {"image": images[0].ravel().tolist()}
    with (
        running(serve_flask, flask, "/ready"),
        running(serve_keras, stock, UVICORN_ACCESS_LOG="false"),
        running(serve_bento, bento, "/livez", inherited=None, **bentoml_environment)
        if bentoml
        else contextlib.nullcontext(),
        scoring_server(folder / "ours", UVICORN_ACCESS_LOG="false") as mlflow_port,
        scoring_server(folder / "no_op", UVICORN_ACCESS_LOG="false") as no_op,
        slim_server(folder / "ours", METRICS_PORT=str(free_port())) as slim,
        slim_server(folder / "ours", METRICS_PORT=str(free_port()), TRAFFIC_DIR=str(folder / "traffic")) as recording,
        running(serve_bare, bare, MODEL=onnx, UVICORN_ACCESS_LOG="false"),
    ):
        started = [
            Contender("(a) Flask, Keras predict", flask, "/predict", flat, None),
            Contender("(b) mlflow models serve, Keras", stock, "/invocations", one, None),
            Contender("(c) BentoML, ONNX", bento, "/predict", {"images": lists[:1]}, {"images": lists}),
            Contender("(d) ours, container, lists", slim, "/invocations", one, many),
            Contender("(e) ours, container, encoded", slim, "/invocations", one_encoded, many_encoded),
            Contender("(d') ours, mlflow serve, lists", mlflow_port, "/invocations", one, many),
            Contender("(e') ours, mlflow serve, encoded", mlflow_port, "/invocations", one_encoded, many_encoded),
            Contender("(f) bare ASGI, encoded", bare, "/invocations", one_encoded, many_encoded),
            Contender("(g) mlflow serve, no-op, encoded", no_op, "/invocations", one_encoded, many_encoded),
            Contender("(h) as (e), with a record", recording, "/invocations", one_encoded, many_encoded),
        ]
        yield [one for one in started if bentoml or one.port != bento]


def load(contender: Contender, payload: object, clients: int, seconds: float, folder: Path) -> Result:
    """One run of the client."""
    (folder / "body.json").write_text(json.dumps(payload))
    (folder / "load.lua").write_text(SCRIPT)
    url = f"http://127.0.0.1:{contender.port}{contender.path}"
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "10s", "-s", str(folder / "load.lua"), url]
    environment = os.environ | {"BODY": str(folder / "body.json")}
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    rate, p50, p99, bad = next(line for line in output.splitlines() if line.startswith("RESULT")).split()[1:]
    if int(bad):
        sys.exit(f"{contender.label}: {bad} requests failed")
    return Result(float(rate), float(p50), float(p99))


def report(results: dict[tuple[str, str], list[Result]]) -> None:
    print(f"\n{'':32} {'load':>12} {'requests/s (min to max)':>26} {'p50 ms':>9} {'p99 ms':>9}")
    for (label, case), runs in results.items():
        rates = [run.rate for run in runs]
        middle = f"{statistics.median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f})"
        p50, p99 = (statistics.median(getattr(run, name) for run in runs) for name in ("p50", "p99"))
        print(f"{label:32} {case:>12} {middle:>26} {p50:9.2f} {p99:9.2f}")
    print()
    for one, other, case in RATIOS:
        pairs = list(zip(by_letter(results, one, case), by_letter(results, other, case), strict=False))
        if not pairs:  # one of them is not among those that were asked for
            continue
        ratios = [mine.rate / theirs.rate for mine, theirs in pairs]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"({one}) / ({other}), {case}: {statistics.median(ratios):.2f} ({spread})")


def by_letter(results: dict[tuple[str, str], list[Result]], letter: str, case: str) -> list[Result]:
    found = (runs for (label, which), runs in results.items() if label.startswith(f"({letter})") and which == case)
    return next(found, [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bentoml", default="", help="the command `bentoml` of another environment")
    parser.add_argument("--only", default="", help="their letters, all where there is none")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of one run")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed")
    results: dict[tuple[str, str], list[Result]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_models(folder)
        with contenders(folder, arguments.bentoml) as running_contenders:
            for number in range(arguments.rounds + 1):
                for case, clients in CASES.items():
                    for contender in running_contenders:
                        payload = contender.batch if case == BATCHES else contender.single
                        if payload is None or (arguments.only and contender.label[1] not in arguments.only):
                            continue
                        result = load(contender, payload, clients, arguments.seconds if number else 1, folder)
                        if number:  # the first round warms up
                            results.setdefault((contender.label, case), []).append(result)
                print(f"round {number} of {arguments.rounds}", file=sys.stderr, flush=True)
    report(results)


if __name__ == "__main__":
    main()
