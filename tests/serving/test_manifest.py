from __future__ import annotations

from pathlib import Path

import pytest

from serving.manifest import difference, digest_of, manifest_of

# FIPS 180-2, appendix B.1, and the digest of nothing.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "model.onnx").write_bytes(b"abc")
    (tmp_path / "MLmodel").touch()
    return tmp_path


def test_every_file_is_in_it_by_its_path_and_content(folder: Path) -> None:
    assert manifest_of(folder) == {"MLmodel": NOTHING, "artifacts/model.onnx": ABC}


def test_what_mlflow_adds_to_a_download_is_not_in_it(folder: Path) -> None:
    (folder / "registered_model_meta").write_text("model_name: digits")
    assert "registered_model_meta" not in manifest_of(folder)
    (folder / "artifacts" / "registered_model_meta").touch()  # but there it is somebody else's
    assert "artifacts/registered_model_meta" in manifest_of(folder)


def test_a_difference_names_the_file_and_what_is_wrong_with_it(folder: Path) -> None:
    before = manifest_of(folder)
    assert difference(manifest_of(folder), before) is None
    (folder / "artifacts" / "model.onnx").write_bytes(b"")
    assert difference(manifest_of(folder), before) == (
        f"artifacts/model.onnx has changed (SHA-256 {NOTHING[:12]}…, expected {ABC[:12]}…)"
    )
    (folder / "artifacts" / "model.onnx").unlink()
    assert difference(manifest_of(folder), before) == "artifacts/model.onnx is missing"
    (folder / "artifacts" / "model.onnx").write_bytes(b"abc")
    (folder / "artifacts" / "sitecustomize.py").touch()
    assert difference(manifest_of(folder), before) == "artifacts/sitecustomize.py was added"


def test_the_digest_depends_on_names_and_contents_alone() -> None:
    digest = digest_of({"a": ABC, "b": NOTHING})
    assert digest == digest_of({"b": NOTHING, "a": ABC})
    assert len({digest, digest_of({"a": NOTHING, "b": ABC}), digest_of({"a": ABC}), digest_of({})}) == 4
