"""Where the time of `python -m steps.train` goes, one process, in seconds.

    python -m benchmarks.train_profile [--model cnn ...]

Takes the options of steps.train. Logs to the tracking store that MLflow is set to.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from typing import Any

START = time.perf_counter()
spent: dict[str, float] = {}


def measured(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """The same function; the time it takes is added to `spent[name]`."""

    @functools.wraps(call)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return call(*args, **kwargs)
        finally:
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - started

    return wrapper


def main() -> None:
    measured("import mlflow and ours", __import__)("steps.train")
    from lifecycle import runs, training
    from serving.package import package
    from steps import train

    def import_keras() -> None:
        import keras  # noqa: F401

    measured("import keras", import_keras)()
    runs.connect = measured("open the store", runs.connect)
    training.fit = measured("fit (with checkpoints)", training.fit)
    setattr(training, "package", measured("export to ONNX, parity", package))  # noqa: B010
    training.log_model = measured("log the model", training.log_model)
    training.log_figures = measured("draw and log figures", training.log_figures)
    train.run(train.parser().parse_args(sys.argv[1:]))
    total = time.perf_counter() - START
    spent["data and all other logging"] = total - sum(spent.values())
    for name, seconds in spent.items():
        print(f"{name:>27} {seconds:6.2f}")
    print(f"{'total':>27} {total:6.2f}")


if __name__ == "__main__":
    main()
