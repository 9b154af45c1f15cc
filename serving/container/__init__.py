"""The slim container of a registered model: what MLflow's own server needs to answer, and nothing else."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path

import yaml

from serving.fence import installed

FOLDER = Path(__file__).parent
FILES = ("Dockerfile", "entrypoint.py", "warmup.py")


def slim_down(context: Path) -> list[str]:
    """Turns what `mlflow models generate-dockerfile` made into the context of the slim image.

    What the model requires is installed in the versions of this environment, so that two builds of one model are the
    same.

    Args:
        context: Folder with a Dockerfile, which is replaced, and `model_dir`.

    Returns:
        Arguments of `docker build`.
    """
    for name in FILES:
        shutil.copy(FOLDER / name, context / name)
    pins = [f"{name}=={version(name)}" for name in sorted(installed(context / "model_dir"))]
    (context / "constraints.txt").write_text("\n".join(pins) + "\n")
    environment = yaml.safe_load((context / "model_dir" / "python_env.yaml").read_text())
    return ["--build-arg", f"PYTHON_VERSION={environment['python']}"]
