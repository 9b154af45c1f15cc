"""The manifest of a model: its files by path, each with the SHA-256 of its content.

`train` keeps it in the tracking store, away from the files, and whoever uses the files afterwards checks them against
it. Needs nothing but Python, because the container's entry point has a copy of this file.
"""

import hashlib
import json
from pathlib import Path

# MLflow adds it to a download: the name and the version that the model was asked for by.
ADDED = "registered_model_meta"


def manifest_of(folder: Path) -> dict[str, str]:
    """The files below `folder` by their path from there, with slashes, and their SHA-256 as 64 hexadecimal digits."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: _sha256(path) for name, path in files.items() if name != ADDED}


def digest_of(manifest: dict[str, str]) -> str:
    """One SHA-256 for all files: two models have the same one if they have the same files."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def difference(found: dict[str, str], expected: dict[str, str]) -> str | None:
    """Says of the first file in which two manifests differ what is wrong with it; None where they are the same."""
    for name in sorted(found.keys() | expected.keys()):
        if name not in found:
            return f"{name} is missing"
        if name not in expected:
            return f"{name} was added"
        if found[name] != expected[name]:
            return f"{name} has changed (SHA-256 {found[name][:12]}…, expected {expected[name][:12]}…)"
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
